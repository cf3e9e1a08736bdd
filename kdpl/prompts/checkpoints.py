"""Prompt checkpoints: our own, and published ones of the base methods and their KDPL variants."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..outside import parse_json
from .inert_files import read_checkpoint, save_atomically
from .prompt_learner import PromptLearner

FORMAT = "kdpl-prompts-1"
# Tensors that the published code learns; everything else in its files belongs to CLIP or is derived from it.
LEARNED = re.compile(r"(^|\.)(ctx|VPT|VPT_shallow)$|(^|\.)(meta_net|compound_prompt\w*)\.|(^|prompt_learner\.)proj\.")

Description = dict[str, Any]
COMPLETE = {"settings": dict, "words": str, "n_ctx": int, "class_token_position": str, "student": dict}


def save_checkpoint(
    path: str | os.PathLike, learner: PromptLearner, description: Description, settings: dict[str, Any]
) -> None:
    """Write the learned tensors (kilobytes) and their description; loadable with ``weights_only=True``."""
    state = {name: tensor.detach().cpu() for name, tensor in learner.state_dict().items()}
    content = {"format": FORMAT, "method": description["method"], "epoch": description["epoch"], "settings": settings}
    content |= {"description": json.dumps(description, ensure_ascii=False), "state_dict": state}
    save_atomically(path, content)


def read_prompt_checkpoint(path: str | os.PathLike) -> tuple[dict[str, Tensor], Description | None, bool]:
    """Tensors of a checkpoint, its description (or None), and whether its tensors have our names.

    Published checkpoints and those of version 0.1 have no description.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not a prompt checkpoint.
    """
    content = read_checkpoint(path)
    state = content.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError(f"{path} contains no 'state_dict' of tensors, so it is not a prompt checkpoint.")
    ours = content.get("format") == FORMAT
    if "description" in content:
        return state, parse_description(path, content["description"]), ours
    return state, parse_description(path, {"method": content["method"]}) if "method" in content else None, ours


def parse_description(path: str | os.PathLike, description: str | Description) -> Description:
    """Parse and check a description, which is either complete or gives little more than the method.

    Raises:
        ValueError: if it is damaged, naming the file.
    """
    try:
        found = parse_json(description, path) if not isinstance(description, dict) else description
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: its description is not JSON ({error}).") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: its description is a {type(found).__name__}, not a dictionary.")
    values, kinds = found, {"method": str} if found else {}
    if found.keys() & {"format", "student"}:
        kinds = kinds | COMPLETE
        if isinstance(found.get("student"), dict):
            values = found | {f"student {key}": value for key, value in found["student"].items()}
            kinds = kinds | {"student name": str, "student fingerprint": str}
    problems = [
        f"{key} {f'is {values[key]!r}' if key in values else 'is missing'}"
        for key, kind in kinds.items()
        if not isinstance(values.get(key), kind)
    ]
    names = found.get("classnames")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        problems.append("classnames is not a list of names")
    if problems:
        raise ValueError(f"{path} is damaged: in its description, {', '.join(problems)}.")
    return found


def fill_learner(
    path: str | os.PathLike, method: str, learner: PromptLearner, state: Mapping[str, Tensor], ours: bool
) -> None:
    """Load a file's tensors into a prompt learner.

    Args:
        path: the file, for messages.
        ours: whether the tensors have our names instead of those of the published code.

    Raises:
        ValueError: if tensors are missing, unexpected, of another shape, or not finite real numbers.
    """
    names = dict.fromkeys(learner.state_dict())
    in_file = {name: name if ours else learner.official_names.get(name, name) for name in names}
    found = {name: tensor for name, tensor in state.items() if ours or _is_learned(name, learner)}
    wanted = {in_file[name]: tensor for name, tensor in learner.state_dict().items()}
    problems = [f"missing: {name} {tuple(wanted[name].shape)}" for name in wanted if name not in found]
    problems += [f"unknown: {name} {tuple(found[name].shape)}" for name in found if name not in wanted]
    problems += [
        f"{name}: shape {tuple(found[name].shape)} in the file, {tuple(wanted[name].shape)} as configured"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if problems:
        raise ValueError(
            f"{path} does not fit {method} as configured:\n  " + "\n  ".join(problems) + "\n"
            "Method, prompt lengths and depths (N_CTX, CTX_INIT, PROMPT_DEPTH, ...) and backbone must be the same as "
            "in the run that wrote the file."
        )
    if bad := [name for name in wanted if not (found[name].is_floating_point() and found[name].isfinite().all())]:
        raise ValueError(
            f"{path} is damaged: {bad[0]} ({found[bad[0]].dtype}) contains values that are not finite real numbers."
        )
    learner.load_state_dict({name: found[in_file[name]].float() for name in names})


def _is_learned(official_name: str, learner: PromptLearner) -> bool:
    return bool(LEARNED.search(official_name)) and not learner.is_beyond_towers(official_name)


def find_checkpoint(directory: str | os.PathLike, registered_name: str, epoch: int | None = None) -> Path:
    """``<directory>/<registered name>/model.pth.tar-<epoch>``; without an epoch, the best one if it exists, else the
    latest.

    Raises:
        FileNotFoundError: if there is none, listing what the folder contains.
    """
    folder = Path(directory) / registered_name
    by_epoch = {
        int(file.name.rsplit("-", 1)[1]): file
        for file in folder.glob("model.pth.tar-*")
        if file.name.rsplit("-", 1)[1].isdecimal()
    }
    best = folder / "model-best.pth.tar"
    if epoch is not None and epoch in by_epoch:
        return by_epoch[epoch]
    if epoch is None and (best.exists() or by_epoch):
        return best if best.exists() else by_epoch[max(by_epoch)]
    wanted = folder / (f"model.pth.tar-{epoch}" if epoch is not None else "model.pth.tar-<epoch>")
    others = sorted(file.parent.name for file in Path(directory).glob("*/model*.pth.tar*"))
    misnamed = sorted(file.name for file in folder.glob("model*") if file.is_file() and file != best)
    if by_epoch:
        found = f"Available epochs: {', '.join(map(str, sorted(by_epoch)))}."
    elif best.exists():
        found = "The folder contains only the best model: omit --load-epoch."
    elif misnamed:
        found = (
            f"The folder contains {', '.join(misnamed)}, but checkpoints must be called model-best.pth.tar or "
            "model.pth.tar-<epoch>, with the epoch in digits. Rename the file."
        )
    elif others:
        found = f"The folder contains models of another method, in {', '.join(dict.fromkeys(others))}."
    else:
        found = "--model-dir must be the output folder of a training run, --load-epoch an epoch that it saved."
    raise FileNotFoundError(f"No checkpoint at {wanted}. {found}")
