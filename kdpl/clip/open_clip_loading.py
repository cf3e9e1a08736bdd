"""CLIPs of open_clip, by model and tag or by model and checkpoint file. Imported only when one is asked for."""

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import huggingface_hub
from safetensors import SafetensorError
from torch import Tensor, nn

from ..downloads import TIMEOUT
from ..import_guards import import_torchvision
from ..names import OPEN_CLIP_PREFIX, did_you_mean
from .loaded import LoadedCLIP
from .towers import Preprocessing, Towers

import_torchvision()
import open_clip  # noqa: E402
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME  # noqa: E402


def check_open_clip_name(name: str) -> None:
    """Check model and tag (or file) against what open_clip knows.

    Raises:
        ValueError: naming what is possible and what was probably meant.
    """
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
    """The checkpoint of "open_clip:<model>/<tag or checkpoint file>", fetched if it is not on this machine yet.

    Raises:
        ConnectionError: if it cannot be fetched.
    """
    model_name, source = _split(name)
    tag = open_clip.get_pretrained_cfg(model_name, source)  # empty when source is a file
    with _fetching(name, tag):
        return _weights_file(tag) if tag else Path(source)


def load_open_clip(name: str, path: Path, sha256: str) -> LoadedCLIP:
    """The CLIP called ``name`` with the weights in ``path``; see ``load_clip``."""
    model_name, source = _split(name)
    tag = open_clip.get_pretrained_cfg(model_name, source)
    with _fetching(name, tag):  # some text towers and tokenizers come from the hub, too
        model = _create_model(model_name, path, tag)
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
def _fetching(name: str, tag: dict[str, Any]) -> Iterator[None]:
    """Say where files of open_clip were looked for, if they cannot be had."""
    try:
        yield
    except OSError as error:
        raise ConnectionError(
            f"{name} could not be fetched: {error}. Looked in {huggingface_hub.constants.HF_HUB_CACHE}, then at "
            f"{huggingface_hub.constants.ENDPOINT}/{tag.get('hf_hub', '')} . Check the connection and start again, or "
            f"name a checkpoint fetched elsewhere, {OPEN_CLIP_PREFIX}{_split(name)[0]}/<file>. HF_ENDPOINT names a "
            "mirror."
        ) from error


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
    repository, filename = os.path.split(tag.get("hf_hub", ""))
    safe_name = f"{os.path.splitext(filename)[0]}.safetensors" if filename else HF_SAFE_WEIGHTS_NAME
    for candidate in (safe_name, filename or HF_WEIGHTS_NAME):
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
    try:
        return open_clip.create_model(
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
