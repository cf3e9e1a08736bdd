"""OpenAI's CLIPs: published weights, and building a model from weights in their layout."""

import importlib
import inspect
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..downloads import RemoteFile, download
from ..fingerprints import sha256_of
from ..import_guards import import_clip
from ..offline import Missing, is_offline
from .loaded import LoadedCLIP
from .towers import Preprocessing, openai_towers

if TYPE_CHECKING:
    from clip.model import CLIP

OPENAI_URL = "https://openaipublic.azureedge.net/clip/models"
# Listed here because the clip package of a CoOp checkout knows fewer models and lacks ViT-L/14.
OPENAI_WEIGHTS = {  # name: (SHA256, file)
    "RN50": ("afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", "RN50.pt"),
    "RN101": ("8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599", "RN101.pt"),
    "RN50x4": ("7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd", "RN50x4.pt"),
    "RN50x16": ("52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa", "RN50x16.pt"),
    "RN50x64": ("be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c", "RN50x64.pt"),
    "ViT-B/32": ("40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", "ViT-B-32.pt"),
    "ViT-B/16": ("5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", "ViT-B-16.pt"),
    "ViT-L/14": ("b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836", "ViT-L-14.pt"),
    "ViT-L/14@336px": ("3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", "ViT-L-14-336px.pt"),
}
RESOLUTIONS = {  # pixels
    "RN50": 224, "RN101": 224, "RN50x4": 288, "RN50x16": 384, "RN50x64": 448,
    "ViT-B/32": 224, "ViT-B/16": 224, "ViT-L/14": 224, "ViT-L/14@336px": 336,
}  # fmt: skip
# Tensors from which clip.model.build_model infers sizes, and the logit scale.
_LANDMARKS = {
    "logit_scale",
    "text_projection",
    "positional_embedding",
    "token_embedding.weight",
    "ln_final.weight",
    "visual.conv1.weight",
}


def openai_weights_file(name: str) -> Path:
    """The verified weights file of one of OpenAI's models, downloaded into the cache if necessary.

    ``KDPL_CLIP_CACHE`` sets the cache folder (default: OpenAI's, ~/.cache/clip). ``KDPL_CLIP_MIRROR`` sets a server to
    use instead of OpenAI's, with files at <mirror>/<SHA256>/<file>, for clusters without internet access.
    """
    sha256, filename = OPENAI_WEIGHTS[name]
    path = openai_cache() / filename
    if path.is_file():
        if sha256_of(path) == sha256:
            return path
        print(f"{path} has the wrong SHA256 (an interrupted download?); downloading it again")
    if is_offline():
        raise Missing([f"{name}: {path}"], [name])
    mirror = os.environ.get("KDPL_CLIP_MIRROR") or OPENAI_URL
    advice = (
        f"You can also pass the path of a local file instead of {name}, set KDPL_CLIP_CACHE to another folder or "
        f"KDPL_CLIP_MIRROR to another server, or run `kdpl fetch {name} --to FOLDER` on a machine with a network."
    )
    urls = (f"{mirror.rstrip('/')}/{sha256}/{filename}",)
    download(RemoteFile(filename, urls, f"sha256:{sha256}", by_hand=advice), path)
    return path


def openai_cache() -> Path:
    """The cache folder for OpenAI's weights."""
    return Path(os.environ.get("KDPL_CLIP_CACHE") or "~/.cache/clip").expanduser()


def clip_from_state_dict(state_dict: Mapping[str, Tensor]) -> "CLIP":
    """Build OpenAI's CLIP, a ViT or ResNet of any size, with exactly these weights, in float32 and evaluation mode.

    The layout does not determine the activation and the number of heads: they are QuickGELU and width / 64, as in all
    of OpenAI's models.

    Raises:
        ValueError: if tensors are missing, unexpected, of the wrong shape, or not finite.
    """
    missing = sorted(_LANDMARKS - state_dict.keys())
    if "visual.proj" not in state_dict and "visual.attnpool.positional_embedding" not in state_dict:
        missing.append("visual.proj (ViT) or visual.attnpool.positional_embedding (ResNet)")
    if missing:
        raise ValueError(
            f"These are not the weights of a CLIP in OpenAI's layout: {missing} are missing. "
            f"The first of its {len(state_dict)} tensors are {list(state_dict)[:5]}."
        )
    excluded = ("input_resolution", "context_length", "vocab_size")
    weights = {key: tensor for key, tensor in state_dict.items() if key not in excluded}
    # Sums, because checking every number would be slow.
    if bad := [key for key, tensor in weights.items() if not tensor.sum(dtype=torch.float32).isfinite()]:
        raise ValueError(f"These weights are damaged: {bad[:5]} contain NaN or infinity. Download the file again.")
    build_model = _build_model()
    try:
        with _NoInitialValues():
            model = build_model(dict(weights)).float()
        model.load_state_dict(weights)  # again, because build_model rounds them to half precision
    except (
        RuntimeError,
        KeyError,
        ValueError,
        AssertionError,
        ZeroDivisionError,
    ) as error:  # the various ways in which sizes clash
        raise ValueError(f"These weights do not fit together as a CLIP: {error}") from error
    if not hasattr(model.visual, "transformer"):  # a ResNet: convolutions over channels-last pixels are faster
        model.visual.to(memory_format=torch.channels_last)
    return model.eval()


def openai_clip(model: "CLIP", name: str, weights_sha256: str) -> LoadedCLIP:
    """Wrap a ``clip.model.CLIP``: frozen, with a description of its towers."""
    return LoadedCLIP(
        name=name,
        model=model.requires_grad_(False),
        tokenize=partial(tokenize, context_length=model.context_length),
        describe=openai_towers,
        preprocessing=Preprocessing(size=model.visual.input_resolution),
        weights_sha256=weights_sha256,
    )


def _build_model() -> Callable[[dict[str, Tensor]], "CLIP"]:
    """``clip.model.build_model`` without prompts, whichever code base the ``clip`` package comes from.

    In checkouts of MaPLe and PromptSRC it has a second argument with the trainer and the lengths and depths of prompts
    to build into the towers; the trainer "CoOp" and zeros elsewhere give CLIP's own blocks.

    Raises:
        ValueError: if it has other arguments.
    """
    module = importlib.import_module(f"{import_clip().__name__}.model")
    build_model = module.build_model
    if "design_details" in inspect.signature(build_model).parameters:
        build_model = partial(build_model, design_details=defaultdict(int, trainer="CoOp"))
    signature = inspect.signature(build_model)
    try:
        signature.bind({})
    except TypeError as error:
        raise ValueError(
            f"The installed clip package has been modified: build_model in {module.__file__} takes {signature}, but "
            "OpenAI's takes only a state dict. Install the original: pip install --force-reinstall clip-anytorch"
        ) from error
    return build_model


class _NoInitialValues(TorchFunctionMode):
    """Skips random initialisation within the block, which takes most of the time of building a large CLIP."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__name__", "").endswith(("normal_", "uniform_")):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def tokenize(texts: list[str], context_length: int = 77) -> Tensor:
    """Token ids (n, context_length), int64, zero after the end of each text.

    Raises:
        ValueError: naming a text that is too long.
    """
    try:
        return import_clip().tokenize(texts, context_length=context_length).long()
    except RuntimeError as error:  # naming the text that is too long
        message = str(error) if len(str(error)) < 400 else f"{str(error)[:100]} ... {str(error)[-60:]}"
        raise ValueError(f"{message} tokens. Shorten it (a class name, a template or CTX_INIT).") from error
