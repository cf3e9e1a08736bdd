"""A CLIP by name: OpenAI's, open_clip's, one from a local file, or the demo pair of this repository."""

import difflib
import inspect
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

from .downloads import download_verified, sha256_of
from .weight_files import read_state_dict

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # clip imports pkg_resources, whose deprecation is not the user's
    import clip
    from clip.model import CLIP, build_model

OPENAI_URL = "https://openaipublic.azureedge.net/clip/models"
# The clip package of a CoOp checkout knows fewer models, ViT-L/14 not among them; so the list is kept here.
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
DEMO_WEIGHTS = {  # name: file
    f"demo:{role}": Path(__file__).parents[2] / "assets" / "demo" / f"{role}.safetensors"
    for role in ("student", "teacher")
}
OPEN_CLIP_PREFIX = "open_clip:"

# What clip.model.build_model reads sizes from, and the scale of the logits.
_LANDMARKS = {
    "logit_scale",
    "text_projection",
    "positional_embedding",
    "token_embedding.weight",
    "ln_final.weight",
    "visual.conv1.weight",
}
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class LoadedCLIP:
    """A frozen CLIP with what its inputs must look like.

    Attributes:
        model: in evaluation mode, float32, on the CPU; no parameter asks for a gradient.
        tokenize: texts to token ids (n, context_length), int64. A text that is too long is a ValueError naming it.
        resolution: side of its square images, in pixels.
        mean, std: of the pixel normalisation that it was trained with, for RGB in 0 to 1.
        name: as asked for.
        weights_sha256: of the weights file.
        is_openai: whether ``model`` is a ``clip.model.CLIP``, as any student must be.
    """

    model: nn.Module
    tokenize: Callable[[list[str]], Tensor]
    resolution: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    name: str
    weights_sha256: str
    is_openai: bool


def load_clip(name: str) -> LoadedCLIP:
    """The CLIP called ``name``, downloaded when it is not on this machine yet.

    Args:
        name: a name of OpenAI ("ViT-B/32"), "open_clip:<model>/<tag or checkpoint file>", a file with weights in
            OpenAI's layout (TorchScript, state dict or safetensors), "demo:student" or "demo:teacher".

    Raises:
        ValueError: if the name is unknown, or the file holds no CLIP.
        ConnectionError: if weights could not be downloaded.
    """
    check_clip_name(name)
    if name.startswith(OPEN_CLIP_PREFIX):
        return _open_clip_loading().load_open_clip(name)
    if name in OPENAI_WEIGHTS:
        path, sha256 = openai_weights_file(name), OPENAI_WEIGHTS[name][0]
        state_dict = read_state_dict(path)
    elif name in DEMO_WEIGHTS:
        from .demo_weights import load_demo_state_dict

        path = DEMO_WEIGHTS[name]
        sha256 = sha256_of(path)
        state_dict = load_demo_state_dict(path)
    else:
        path, sha256 = Path(name), sha256_of(name)
        state_dict = read_state_dict(path)
    try:
        model = clip_from_state_dict(state_dict)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return LoadedCLIP(
        model=model.requires_grad_(False),
        tokenize=partial(_tokenize, context_length=model.context_length),
        resolution=model.visual.input_resolution,
        mean=PIXEL_MEAN,
        std=PIXEL_STD,
        name=name,
        weights_sha256=sha256,
        is_openai=True,
    )


def check_clip_name(name: str) -> None:
    """Find out in time, without downloading, that ``load_clip`` could not know ``name``.

    Raises:
        ValueError: naming what is possible and what was probably meant.
    """
    if name.startswith(OPEN_CLIP_PREFIX):
        _open_clip_loading().check_open_clip_name(name)
    elif name in DEMO_WEIGHTS:
        if not DEMO_WEIGHTS[name].is_file():
            raise ValueError(
                f"{name} needs {DEMO_WEIGHTS[name]}, which is missing. It is part of the KDPL repository, where "
                f"`git checkout -- assets` brings it back; elsewhere use one of {list(OPENAI_WEIGHTS)}."
            )
    elif name not in OPENAI_WEIGHTS and not os.path.isfile(name):
        known = [*OPENAI_WEIGHTS, *DEMO_WEIGHTS]
        raise ValueError(
            f"No CLIP is called {name!r}{did_you_mean(name, known)}. Known are {known}, "
            f'"{OPEN_CLIP_PREFIX}<model>/<tag>" such as {OPEN_CLIP_PREFIX}ViT-H-14-quickgelu/dfn5b, and the path of a '
            f"file with weights in OpenAI's layout (there is no file {os.path.abspath(name)})."
        )


def did_you_mean(name: str, known: list[str]) -> str:
    """An insertion for a message about an unknown name: the known ones that come close, if any."""
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = [by_lower_case[match] for match in difflib.get_close_matches(name.lower(), by_lower_case)]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def openai_weights_file(name: str) -> Path:
    """The verified file of one of OpenAI's models, from the cache or downloaded into it.

    ``KDPL_CLIP_CACHE`` names the cache folder (OpenAI's own, ~/.cache/clip, otherwise). ``KDPL_CLIP_MIRROR`` names a
    server to ask in place of OpenAI's, with the files as <mirror>/<SHA256>/<file>: for clusters without internet.
    """
    sha256, filename = OPENAI_WEIGHTS[name]
    path = openai_cache() / filename
    if path.is_file():
        if sha256_of(path) == sha256:
            return path
        print(f"{path} has the wrong SHA256 (a download that was cut off?); fetching it again")
    mirror = os.environ.get("KDPL_CLIP_MIRROR") or OPENAI_URL
    download_verified(
        f"{mirror.rstrip('/')}/{sha256}/{filename}",
        path,
        sha256,
        advice=f"Where {name} was asked for, the path of a local file is taken as well; KDPL_CLIP_CACHE names another "
        "folder to look in, KDPL_CLIP_MIRROR another server to ask.",
    )
    return path


def openai_cache() -> Path:
    """The folder in which OpenAI's weights are kept."""
    return Path(os.environ.get("KDPL_CLIP_CACHE") or "~/.cache/clip").expanduser()


def clip_from_state_dict(state_dict: Mapping[str, Tensor]) -> CLIP:
    """OpenAI's CLIP, ViT or ResNet of any size, with exactly these weights, in float32 and evaluation mode.

    The layout does not tell activation and number of heads: they are QuickGELU and width / 64, as in all of OpenAI's.

    Raises:
        ValueError: if tensors are missing, left over, of the wrong shape, or hold numbers that are not finite.
    """
    missing = sorted(_LANDMARKS - state_dict.keys())
    if "visual.proj" not in state_dict and "visual.attnpool.positional_embedding" not in state_dict:
        missing.append("visual.proj (ViT) or visual.attnpool.positional_embedding (ResNet)")
    if missing:
        raise ValueError(
            f"These are not the weights of a CLIP in OpenAI's layout: {missing} are missing; "
            f"the first of the {len(state_dict)} tensors are {list(state_dict)[:5]}."
        )
    weights = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in state_dict.items()
        if key not in ("input_resolution", "context_length", "vocab_size")
    }
    if bad := [key for key, tensor in weights.items() if not tensor.sum().isfinite()]:  # a look at each would be slow
        raise ValueError(f"These weights are damaged: not all numbers in {bad[:5]} are finite. Get the file again.")
    try:
        model = _build_plain_model(dict(weights)).float()
        model.load_state_dict(weights)  # again: build_model has rounded them to half precision
    except (RuntimeError, KeyError, ValueError, AssertionError, ZeroDivisionError) as error:  # however sizes clash
        raise ValueError(f"These weights do not fit together as a CLIP: {error}") from error
    return model.eval()


def _build_plain_model(state_dict: dict[str, Tensor]) -> CLIP:
    """``clip.model.build_model`` without prompts, whichever code base the ``clip`` package belongs to.

    In checkouts of MaPLe and PromptSRC it takes a second argument with the lengths and depths of the prompts that it
    is to build into the towers, and the trainer that they belong to: "CoOp" has CLIP's own blocks, and all else is 0.
    """
    if "design_details" in inspect.signature(build_model).parameters:
        return build_model(state_dict, design_details=defaultdict(int, trainer="CoOp"))
    return build_model(state_dict)


def _tokenize(texts: list[str], context_length: int) -> Tensor:
    """Token ids (n, context_length), int64, zero after the end of each text."""
    try:
        return clip.tokenize(texts, context_length=context_length).long()
    except RuntimeError as error:  # names the text that is too long
        raise ValueError(f"{error} tokens. Shorten it (a class name, a template or CTX_INIT).") from error


def _open_clip_loading() -> ModuleType:
    """The module for open_clip names; imported on demand, as open_clip takes a second and not everybody has it."""
    try:
        from . import open_clip_loading
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in ("open_clip", "huggingface_hub", "safetensors"):  # it brings these
            raise
        raise ValueError('CLIPs named "open_clip:..." need open_clip: pip install "open-clip-torch>=3.0"') from error
    return open_clip_loading
