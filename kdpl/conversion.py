"""Conversion between published checkpoints and prompt files."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from .methods import Method, find_method
from .names import list_of_names
from .prompts.inert_files import read_checkpoint, save_atomically
from .prompts.prompt_file import Description, describe_prompts, is_safetensors, read_prompt_file
from .prompts.prompt_learner import PromptLearner
from .prompts.prompted_clip import PromptedCLIP

_TENSORS = {  # tensors whose shape or number gives a length or a depth, under our names and the published ones
    "ctx": r"(^|\.)ctx$",
    "visual": r"^visual$|(^|\.)VPT$",
    "deep_text": r"^deep_text\.\d+$|(^|\.)compound_prompts_text\.\d+$|^text_encoder\..*\.VPT_shallow$",
    "deep_visual": r"^deep_visual\.\d+$|^image_encoder\..*\.VPT_shallow$",
}


def settings_from_tensors(method: Method, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The method settings that learned tensors reveal: prompt lengths and depths.

    The position of the class name and the words of VPT leave no trace in the tensors and keep their published values.

    >>> import kdpl, torch
    >>> settings_from_tensors(kdpl.METHODS["CoOp"], {"ctx": torch.zeros(16, 512)})
    {'n_ctx': 16, 'ctx_init': ''}
    """
    found = {
        what: [tensor for name, tensor in tensors.items() if re.search(pattern, name)]
        for what, pattern in _TENSORS.items()
    }
    settings: dict[str, Any] = {}
    if found["ctx"]:
        ctx = found["ctx"][0]  # (n_ctx, width), or (n_cls, n_ctx, width) where contexts are class-specific
        settings["n_ctx"] = ctx.shape[-2]
        if ctx.dim() == 3:
            settings["class_specific"] = True
        if ctx.dim() == 3 or ctx.shape[-2] != len(method.settings["ctx_init"].default.split()):
            settings["ctx_init"] = ""
    if found["visual"]:
        settings["n_vis"] = len(found["visual"][0])
    n_text, n_visual = len(found["deep_text"]) + 1, len(found["deep_visual"]) + 1
    depths = {"depth": max(n_text, n_visual), "depth_text": n_text, "depth_vision": n_visual}
    return {name: value for name, value in (settings | depths).items() if name in method.settings}


class Facts(NamedTuple):
    """Everything needed to load prompts."""

    method: Method
    student: str
    settings: dict[str, Any]  # complete
    classnames: list[str]


def read_facts(
    file: str | os.PathLike,
    name: str,
    method: str | None,
    student: str | None,
    settings: Mapping[str, Any] | None,
    classnames: Sequence[str] | None,
) -> Facts:
    """Combine what a prompt file or checkpoint records, what its tensors reveal, and what the caller overrides.

    Args:
        name: what messages call the file.
        method, student, settings, classnames: the caller's, which take precedence.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the method or the student is unknown, or the number of classes does not match class-specific
            contexts.
    """
    tensors, description, _ = read_prompt_file(file)
    recorded = description or {}
    if method and recorded.get("method", method) != method:
        raise ValueError(f"{name} holds prompts of {recorded['method']}, not of {method}. Leave the method out.")
    method = method or recorded.get("method")
    student = student or recorded.get("student", {}).get("name")
    if unknown := [what for what, value in (("method", method), ("student", student)) if value is None]:
        raise ValueError(
            f"{name} does not record the {' and '.join(unknown)} of its prompts. Pass it: "
            'load(..., method="CoOp", student="ViT-B/16"), or --method and --student on the command line.'
        )
    try:
        entry = find_method(method)
        given = recorded.get("settings", settings_from_tensors(entry, tensors))
        complete = entry.complete(given | dict(settings or {}))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    names = recorded.get("classnames") or [] if classnames is None else list_of_names(classnames, "classnames")
    if complete.get("class_specific") and not complete["ctx_init"]:
        contexts = tensors.get("ctx", tensors.get("prompt_learner.ctx"))
        if contexts is not None and contexts.dim() == 3 and len(contexts) != len(names):
            raise ValueError(
                f"{name} has one context for each of {len(contexts)} classes (CSC), but {len(names)} class names were "
                f"given. Pass {len(contexts)} names in the order used for training, or learn a shared context."
            )
    return Facts(entry, student, complete, names)


def describe(path: str | os.PathLike, method: Method, settings: Mapping[str, Any], model: PromptedCLIP) -> Description:
    """Write a description for prompts loaded from ``path``, a file that has none."""
    epoch = None if is_safetensors(path) else read_checkpoint(path).get("epoch")
    known = {"epoch": epoch} if isinstance(epoch, int) else {}
    return describe_prompts(
        method.name, settings, model.prompt_learner, model.clip, classnames=model.classnames or None, **known
    )


def save_published(path: str | os.PathLike, learner: PromptLearner, description: Description) -> None:
    """Write a checkpoint in the published layout: learned tensors under their published names, and the epoch.

    The published code of the base methods loads it with ``strict=False``, as it loads its own. The description is
    stored under a key that this code ignores.
    """
    tensors = {learner.official_names.get(name, name): t.detach().cpu() for name, t in learner.state_dict().items()}
    content = {"state_dict": tensors, "epoch": description.get("epoch", 0)}
    save_atomically(path, content | {"description": json.dumps(description, ensure_ascii=False)})
