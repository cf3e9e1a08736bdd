"""Facts about open_clip models that need no download: whether they exist and which prompts they take."""

import importlib
import os
from functools import cache
from types import ModuleType
from typing import Any

from ..import_guards import import_torchvision
from ..names import OPEN_CLIP_PREFIX, did_you_mean
from ..offline import is_offline


def check_open_clip_name(name: str) -> None:
    """Check model and tag (or file) against what open_clip knows.

    Raises:
        ValueError: listing valid names and what was probably meant.
    """
    open_clip = import_open_clip()
    model_name, source = split_name(name)
    models = open_clip.list_models()
    if model_name not in models:
        hint = did_you_mean(model_name, models)
        raise ValueError(f"{name}: open_clip has no model {model_name!r}{hint}. It has {models}.")
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    if not open_clip.is_pretrained_cfg(model_name, source) and not os.path.isfile(source):
        raise ValueError(
            f"{name}: open_clip has no weights {source!r} for {model_name}{did_you_mean(source, tags)}, only {tags}; "
            f"{os.path.abspath(source)} is not a file either. Write {OPEN_CLIP_PREFIX}{model_name}/<tag or file>."
        )


def split_name(name: str) -> tuple[str, str]:
    """Model, and tag or file (empty if there is neither)."""
    model_name, _, source = name.removeprefix(OPEN_CLIP_PREFIX).partition("/")
    return model_name, source


def tag_of(name: str) -> dict[str, Any]:
    """open_clip's entry for these weights; empty for a file."""
    return import_open_clip().get_pretrained_cfg(*split_name(name))


@cache
def import_open_clip() -> ModuleType:
    """Import ``open_clip``, which takes a second and is optional.

    Raises:
        ValueError: if it is not installed.
    """
    import_torchvision()
    if is_offline():  # for open_clip's own requests to the Hub
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        return importlib.import_module("open_clip")
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in ("open_clip", "huggingface_hub", "safetensors"):  # its dependencies
            raise
        raise ValueError(
            'CLIPs named "open_clip:..." and those from the Hugging Face Hub need open_clip: '
            'pip install "open-clip-torch>=3.0"'
        ) from error


def no_text_prompts(config: dict[str, Any]) -> str:
    """Why a model with this configuration takes no text prompts; empty if it does."""
    text = config["text_cfg"]
    if "multimodal_cfg" in config:
        return "it is a CoCa"
    if "hf_model_name" in text:
        return f"its text tower is {text['hf_model_name']} from Hugging Face"
    if text.get("embed_cls") or text.get("pool_type", "argmax") not in ("argmax", "last", "eos"):
        return "its text tower has an unsupported pooling"
    return ""


def no_visual_prompts(config: dict[str, Any]) -> str:
    """Why a model with this configuration takes no visual prompts; empty if it does."""
    vision = config["vision_cfg"]
    if vision.get("timm_model_name"):
        return f"its image tower is timm's {vision['timm_model_name']}"
    if isinstance(vision.get("layers"), list):
        return "its image tower is a ResNet"
    if vision.get("attentional_pool"):
        return "its image tower uses attention pooling"
    return ""
