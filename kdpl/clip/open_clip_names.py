"""What names of open_clip's models say, before anything is fetched: whether they exist and which prompts they take."""

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
        ValueError: naming what is possible and what was probably meant.
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
            f"{name}: open_clip has no weights {source!r} of {model_name}{did_you_mean(source, tags)}. It has {tags}. "
            f"Nor is there a file {os.path.abspath(source)}. Write {OPEN_CLIP_PREFIX}{model_name}/<tag or file>."
        )


def split_name(name: str) -> tuple[str, str]:
    """Model, and tag or file (empty when there is none)."""
    model_name, _, source = name.removeprefix(OPEN_CLIP_PREFIX).partition("/")
    return model_name, source


def tag_of(name: str) -> dict[str, Any]:
    """What open_clip knows of the weights; empty for a file."""
    return import_open_clip().get_pretrained_cfg(*split_name(name))


@cache
def import_open_clip() -> ModuleType:
    """The module ``open_clip``, which takes a second to import and is not on every machine.

    Raises:
        ValueError: if it is not installed.
    """
    import_torchvision()
    if is_offline():  # for what it asks the hub itself
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        return importlib.import_module("open_clip")
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in ("open_clip", "huggingface_hub", "safetensors"):  # it brings these
            raise
        raise ValueError(
            'CLIPs named "open_clip:..." and those of the Hugging Face hub need open_clip: '
            'pip install "open-clip-torch>=3.0"'
        ) from error


def no_text_prompts(config: dict[str, Any]) -> str:
    """Why a model of this configuration takes no text prompts; empty if it does."""
    text = config["text_cfg"]
    if "multimodal_cfg" in config:
        return "it is a CoCa"
    if "hf_model_name" in text:
        return f"its text tower is {text['hf_model_name']}, of Hugging Face"
    if text.get("embed_cls") or text.get("pool_type", "argmax") not in ("argmax", "last", "eos"):
        return "its text tower reads features in a way of its own"
    return ""


def no_visual_prompts(config: dict[str, Any]) -> str:
    """Why a model of this configuration takes no visual prompts; empty if it does."""
    vision = config["vision_cfg"]
    if vision.get("timm_model_name"):
        return f"its image tower is timm's {vision['timm_model_name']}"
    if isinstance(vision.get("layers"), list):
        return "its image tower is a ResNet"
    if vision.get("attentional_pool"):
        return "its image tower pools by attention"
    return ""
