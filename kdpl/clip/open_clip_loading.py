"""CLIPs of open_clip, by model and tag or by model and checkpoint file; open_clip is imported only when needed."""

import os
import pickle
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..extras import need
from ..fingerprints import fingerprint
from ..names import OPEN_CLIP_PREFIX
from ..offline import all_present
from .hub import hub_failures, hub_file, source_of, tokenizer_folder
from .loaded import LoadedCLIP
from .open_clip_names import import_open_clip, split_name, tag_of
from .open_clip_towers import open_clip_towers
from .towers import Preprocessing


def open_clip_weights_file(name: str) -> Path:
    """The checkpoint of "open_clip:<model>/<tag or checkpoint file>", downloaded if necessary."""
    _, source = split_name(name)
    tag = tag_of(name)
    if not tag:
        return Path(source)
    with _fetching(name):
        return _weights_file(tag, name)


def open_clip_files(name: str) -> tuple[Path, ...]:
    """The checkpoint and, if on the Hub, the tokenizer and text tower configuration; downloaded if necessary.

    Raises:
        Missing: when offline, naming all missing files.
        ConnectionError: if a download fails.
    """
    text = import_open_clip().get_model_config(split_name(name)[0])["text_cfg"]
    lookups = [lambda: open_clip_weights_file(name)]
    if tokenizer := text.get("hf_tokenizer_name"):
        lookups.append(lambda: _tokenizer_folder(tokenizer, name))
    if tower := text.get("hf_model_name"):
        lookups.append(lambda: _tower_config(tower, name))
    return tuple(all_present(lookups))


def load_open_clip(path: Path, name: str, sha256: str) -> LoadedCLIP:
    """Load the CLIP of this name from its weights file; see ``load_clip``."""
    quick_gelu = tag_of(name).get("quick_gelu", False)
    with _fetching(name):  # open_clip may download the configuration of a Hugging Face text tower
        model = _create_model(split_name(name)[0], path, quick_gelu, _tag_preprocessing(name))
    return loaded_open_clip(model, name, sha256, source_of(path))


def loaded_open_clip(
    model: nn.Module, name: str, sha256: str = "", source: Mapping[str, Any] | None = None
) -> LoadedCLIP:
    """Wrap a model created by open_clip: frozen, with its tokenizer and a description of its towers.

    Args:
        sha256, source: of its weights, if they come from a file.
    """
    open_clip, (model_name, _) = import_open_clip(), split_name(name)
    config = open_clip.get_model_config(model_name)
    config["quick_gelu"] = config.get("quick_gelu", False) or tag_of(name).get("quick_gelu", False)
    tokenizer, tokenizer_source = _tokenizer(model_name, config["text_cfg"], name)
    return LoadedCLIP(
        name=name,
        model=model.requires_grad_(False).eval(),
        tokenize=partial(truncation_refused, tokenizer=tokenizer),
        describe=open_clip_towers,
        preprocessing=_preprocessing(open_clip.get_model_preprocess_cfg(model)),
        weights_sha256=sha256,
        variant=variant_of(config),
        source={**(source or {}), **({"tokenizer": tokenizer_source} if tokenizer_source else {})},
    )


def variant_of(config: Mapping[str, Any]) -> str:
    """Hash of everything that tensor names and shapes do not determine: activation, heads, mask, pooling.

    Empty for OpenAI's architecture, so that its weights have the same fingerprint in any library's file format.
    """
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    text, vision = CLIPTextCfg(**config["text_cfg"]), CLIPVisionCfg(**config["vision_cfg"])
    own_text = CLIPTextCfg(
        text.context_length, text.vocab_size, width=text.width, heads=text.width // 64, layers=text.layers
    )
    own_vision = CLIPVisionCfg(vision.layers, vision.width, patch_size=vision.patch_size, image_size=vision.image_size)
    if config.get("quick_gelu") and (text, vision) == (own_text, own_vision):
        return ""
    return fingerprint([bool(config.get("quick_gelu")), asdict(text), asdict(vision)])


def _fetching(name: str) -> AbstractContextManager:
    model_name, _ = split_name(name)
    otherwise = f"a checkpoint downloaded elsewhere, {OPEN_CLIP_PREFIX}{model_name}/<file>"
    return hub_failures(name, tag_of(name).get("hf_hub", ""), otherwise)


def _tokenizer_folder(repository: str, name: str) -> Path:
    with hub_failures(name, repository, "a model with CLIP's own tokenizer"):
        return tokenizer_folder(repository, name)


def _tower_config(repository: str, name: str) -> Path:
    import huggingface_hub

    with hub_failures(name, repository, "a model with a text tower of open_clip's own"):
        fetch = partial(huggingface_hub.hf_hub_download, repository, "config.json")
        return hub_file(repository, ("config.json",), fetch, name)


def _tokenizer(model_name: str, config: Mapping[str, Any], name: str) -> tuple[Any, dict[str, str]]:
    """A model's tokenizer, and its repository and commit if it comes from the Hub."""
    open_clip = import_open_clip()
    repository = config.get("hf_tokenizer_name")
    if not repository:
        return open_clip.get_tokenizer(model_name), {}
    folder = _tokenizer_folder(repository, name)
    return hub_tokenizer(folder, name, config), source_of(folder / "files")


def hub_tokenizer(folder: Path, name: str, config: Mapping[str, Any]) -> Any:
    """Load a Hugging Face tokenizer from its files.

    Args:
        name: name of the CLIP, for messages.
        config: open_clip's configuration of the text tower.

    Raises:
        ValueError: if transformers is not installed, or cannot read the files.
    """
    need("transformers", "transformers", f"The Hugging Face tokenizer of {name}")
    try:
        return import_open_clip().tokenizer.HFTokenizer(
            str(folder),
            context_length=config.get("context_length", 77),
            tokenizer_mode=config.get("tokenizer_mode"),
            **(config.get("tokenizer_kwargs") or {}),
        )
    except (OSError, ImportError, ValueError) as error:
        raise ValueError(f"The tokenizer of {name} in {folder} cannot be read: {error}") from error


def _preprocessing(config: dict[str, Any]) -> Preprocessing:
    size = config["size"]
    return Preprocessing(
        size=size if isinstance(size, int) else size[0],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resize=config["resize_mode"],
        interpolation=config["interpolation"],
    )


def _weights_file(tag: dict[str, Any], name: str) -> Path:
    """The checkpoint of a tag, from the Hub or its cache."""
    open_clip = import_open_clip()
    repository, filename = os.path.split(tag.get("hf_hub", ""))
    safe_name = f"{os.path.splitext(filename)[0]}.safetensors" if filename else open_clip.constants.HF_SAFE_WEIGHTS_NAME
    candidates = (safe_name, filename or open_clip.constants.HF_WEIGHTS_NAME)
    return hub_file(repository, candidates, lambda: open_clip.download_pretrained(tag), name)


def open_clip_preprocessing(name: str) -> Preprocessing:
    """The preprocessing of a model, judging by its name."""
    size = import_open_clip().get_model_config(split_name(name)[0])["vision_cfg"]["image_size"]
    return _preprocessing(asdict(import_open_clip().transform.PreprocessCfg(size=size)) | _tag_preprocessing(name))


def _tag_preprocessing(name: str) -> dict[str, Any]:
    """open_clip's preprocessing for these weights; for a checkpoint file, values shared by all tags of its model."""
    open_clip, (model_name, _) = import_open_clip(), split_name(name)
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    known = [tag_of(name)] if tag_of(name) else [open_clip.get_pretrained_cfg(model_name, tag) for tag in tags]
    keys = ("mean", "std", "interpolation", "resize_mode")
    return {key: known[0][key] for key in keys if known and all(key in k and k[key] == known[0][key] for k in known)}


def _create_model(model_name: str, path: Path, quick_gelu: bool, preprocessing: dict[str, Any]) -> nn.Module:
    """Load by path, not by tag: this works offline and applies the tag's activation, where open_clip only warns."""
    from safetensors import SafetensorError

    try:
        return import_open_clip().create_model(
            model_name,
            pretrained=str(path),
            force_quick_gelu=quick_gelu,
            force_preprocess_cfg=preprocessing,
            weights_only=True,
        )
    except (RuntimeError, AttributeError, KeyError, pickle.UnpicklingError, SafetensorError, EOFError) as error:
        raise ValueError(f"{path} does not contain the weights of open_clip's {model_name}: {error}") from error


def truncation_refused(texts: list[str], tokenizer: Callable[..., Tensor]) -> Tensor:
    """Token ids (n, context_length), int64; raises an error for long texts, which open_clip truncates silently."""
    tokens = tokenizer(texts).long()
    # Room for one more token changes the ids only if the text was truncated.
    longer = tokenizer(texts, context_length=tokenizer.context_length + 1)
    for text, cut in zip(texts, (longer[:, :-1] != tokens).any(dim=1).tolist(), strict=True):
        if cut:
            raise ValueError(
                f"Input {text} is too long for context length {tokenizer.context_length} tokens. "
                "Shorten it (a class name, a template or CTX_INIT)."
            )
    return tokens
