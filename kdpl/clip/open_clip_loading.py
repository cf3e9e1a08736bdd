"""CLIPs of open_clip, by model and tag or by model and checkpoint file; open_clip is imported when one is asked for."""

import importlib
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from torch import Tensor, nn

from ..downloads import TIMEOUT
from ..import_guards import import_torchvision
from ..names import OPEN_CLIP_PREFIX, did_you_mean
from .loaded import LoadedCLIP
from .towers import Preprocessing, Towers


def check_open_clip_name(name: str) -> None:
    """Check model and tag (or file) against what open_clip knows.

    Raises:
        ValueError: naming what is possible and what was probably meant.
    """
    open_clip = _import_open_clip()
    model_name, source = _split(name)
    models = open_clip.list_models()
    if model_name not in models:
        hint = did_you_mean(model_name, models)
        raise ValueError(f"{name}: open_clip has no model {model_name!r}{hint}. It has {models}.")
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    if not open_clip.is_pretrained_cfg(model_name, source) and not os.path.isfile(source):
        raise ValueError(
            f"{name}: open_clip has no weights {source!r} of {model_name}{did_you_mean(source, tags)}. It has {tags}. "
            f"Nor is there a file {os.path.abspath(source)}. Write {OPEN_CLIP_PREFIX}{model_name}/<tag or file>."
        )


def open_clip_weights_file(name: str) -> Path:
    """The checkpoint of "open_clip:<model>/<tag or checkpoint file>", downloaded when it is not on this machine yet."""
    model_name, source = _split(name)
    tag = _import_open_clip().get_pretrained_cfg(model_name, source)  # empty when source is a file
    with _fetching(name):
        return _weights_file(tag) if tag else Path(source)


def load_open_clip(path: Path, name: str, sha256: str) -> LoadedCLIP:
    """The CLIP of this name, from its weights file; see ``load_clip``."""
    open_clip = _import_open_clip()
    model_name, source = _split(name)
    with _fetching(name):  # some tokenizers are fetched, too
        model = _create_model(model_name, path, open_clip.get_pretrained_cfg(model_name, source))
        tokenizer = open_clip.get_tokenizer(model_name)
    return LoadedCLIP(
        name=name,
        model=model.requires_grad_(False).eval(),
        tokenize=partial(_tokenize, tokenizer=tokenizer),
        describe=_towers,
        preprocessing=_preprocessing(open_clip.get_model_preprocess_cfg(model)),
        weights_sha256=sha256,
    )


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    """Within the block, failures of the network end as one message that says what to do."""
    model_name, source = _split(name)
    try:
        yield
    except OSError as error:
        from huggingface_hub import constants as hub  # comes with open_clip, as does safetensors

        place = _import_open_clip().get_pretrained_cfg(model_name, source).get("hf_hub", "")
        raise ConnectionError(
            f"{name} could not be fetched: {error}. Looked in {hub.HF_HUB_CACHE}, then at {hub.ENDPOINT}/{place} . "
            f"Check the connection and start again, or name a checkpoint fetched elsewhere, "
            f"{OPEN_CLIP_PREFIX}{model_name}/<file>. HF_ENDPOINT names a mirror."
        ) from error


def _import_open_clip() -> ModuleType:
    """The module ``open_clip``, which takes a second to import and is not on every machine.

    Raises:
        ValueError: if it is not installed.
    """
    import_torchvision()
    try:
        return importlib.import_module("open_clip")
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in ("open_clip", "huggingface_hub", "safetensors"):  # it brings these
            raise
        raise ValueError('CLIPs named "open_clip:..." need open_clip: pip install "open-clip-torch>=3.0"') from error


def _towers(model: nn.Module, tokenize: Callable[[list[str]], Tensor]) -> Towers:
    """Towers that take no prompts: open_clip's models are teachers."""
    return Towers(None, None, model.encode_text, model.encode_image)


def _preprocessing(config: dict[str, Any]) -> Preprocessing:
    size = config["size"]
    return Preprocessing(
        size=size if isinstance(size, int) else size[0],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resize=config["resize_mode"],
        interpolation=config["interpolation"],
    )


def _split(name: str) -> tuple[str, str]:
    """Model, and tag or file (empty when there is none)."""
    model_name, _, source = name.removeprefix(OPEN_CLIP_PREFIX).partition("/")
    return model_name, source


def _weights_file(tag: dict[str, Any]) -> Path:
    """The checkpoint of a tag from the cache of Hugging Face's hub, or downloaded into it."""
    import huggingface_hub

    open_clip = _import_open_clip()
    repository, filename = os.path.split(tag.get("hf_hub", ""))
    safe_name = f"{os.path.splitext(filename)[0]}.safetensors" if filename else open_clip.constants.HF_SAFE_WEIGHTS_NAME
    for candidate in (safe_name, filename or open_clip.constants.HF_WEIGHTS_NAME):
        cached = huggingface_hub.try_to_load_from_cache(repository, candidate)
        if isinstance(cached, str):
            return Path(cached)
    try:  # without this, the hub's client takes most of a minute to notice that there is no network
        urlopen(Request(huggingface_hub.constants.ENDPOINT, method="HEAD"), timeout=TIMEOUT).close()
    except HTTPError:
        pass  # somebody answered
    return Path(open_clip.download_pretrained(tag))


def _create_model(model_name: str, path: Path, tag: dict[str, Any]) -> nn.Module:
    """By path, not by tag: what is cached needs no network then, and a tag's activation is used, not only warned of."""
    from safetensors import SafetensorError

    try:
        return _import_open_clip().create_model(
            model_name,
            pretrained=str(path),
            force_quick_gelu=tag.get("quick_gelu", False),
            force_preprocess_cfg={key: tag[key] for key in ("mean", "std") if key in tag},
            weights_only=True,
        )
    except (RuntimeError, pickle.UnpicklingError, SafetensorError, EOFError) as error:
        raise ValueError(f"{path} does not hold the weights of open_clip's {model_name}: {error}") from error


def _tokenize(texts: list[str], tokenizer: Any) -> Tensor:
    """Token ids (n, context_length), int64. open_clip's tokenizers silently cut what is too long; this does not."""
    # With room for one token more, the last position is padding exactly where nothing is cut.
    last = tokenizer(["", *texts], context_length=tokenizer.context_length + 1)[:, -1]
    for text, token in zip(texts, last[1:], strict=True):
        if token != last[0]:
            raise ValueError(
                f"Input {text} is too long for context length {tokenizer.context_length} tokens. "
                "Shorten it (a class name, a template or CTX_INIT)."
            )
    return tokenizer(texts).long()
