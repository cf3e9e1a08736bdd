"""The file that interrupted training resumes from, and checks that it belongs to this training."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..outside import parse_json
from ..prompts.inert_files import read_checkpoint, save_atomically
from ..settings import AUTO, check_settings
from .training import Training

FILE_NAME = "resume.pth"
WHAT = "training state"
KINDS = {
    "epoch": int, "optimizer": dict, "scaler": dict, "method": dict,
    "best_result": float, "phases": dict, "agreement": dict,
}  # fmt: skip


def save_resume_state(file: Path, training: Training, settings: Mapping[str, object], extra: dict[str, Any]) -> None:
    """Write the state after the last finished epoch.

    Args:
        settings: everything the prompts depend on, as plain values.
        extra: tensors and plain values that the caller needs when resuming.
    """
    save_atomically(file, {**training.state_dict(), "settings": json.dumps(settings), **extra})


def begun_with(file: Path, key: str, value: str) -> str:
    """A setting; if it is AUTO, the value that the interrupted training in ``file`` started with, if there is one.

    Raises:
        ValueError: if the file is damaged.
    """
    if value == AUTO and file.exists():
        return _settings(file, read_checkpoint(file, WHAT)).get(key, value)
    return value


def _settings(file: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    settings = content.get("settings")
    before = parse_json(settings, f"{file} is not a {WHAT}; its settings") if isinstance(settings, str) else None
    if not isinstance(before, dict):
        raise ValueError(f"{file} is not a {WHAT}: its settings are damaged.")
    return before


def resume(file: Path, training: Training, state: dict[str, Any], *extra: str) -> None:
    """Restore the state read by :func:`read_resume_state`.

    Args:
        extra: other entries that the caller needs.

    Raises:
        ValueError: if it does not fit the training.
    """
    if missing := [name for name in extra if name not in state]:
        raise ValueError(f"{file} is damaged: it has no {', no '.join(missing)}. Remove it to start over.")
    if not 0 < state["epoch"] <= training.n_epochs:
        raise ValueError(f"{file} is damaged: it records epoch {state['epoch']} of {training.n_epochs}.")
    try:
        training.load_state_dict(state)
    except (RuntimeError, LookupError, TypeError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{file} is damaged, or belongs to another run ({reason}). Remove it to start over."
        ) from error


def read_resume_state(
    file: Path,
    settings: Mapping[str, object],
    defaults: Mapping[str, object] | None = None,
    select: Callable[[Mapping[str, object]], Mapping[str, object]] = dict,
) -> dict[str, Any]:
    """Read the state of interrupted training with these settings, for :meth:`Training.load_state_dict`.

    Args:
        defaults: values for settings that one side does not have.
        select: picks the settings that the prompts depend on from those in the file.

    Raises:
        ValueError: if it is not such a file, or naming the settings that differ.
    """
    content = read_checkpoint(file, WHAT)
    if missing := {"epoch", "settings", "prompts", "optimizer"} - content.keys():
        raise ValueError(f"{file} is not a {WHAT}: it has no {', no '.join(sorted(missing))}.")
    wrong = [name for name, kind in KINDS.items() if name in content and type(content[name]) is not kind]
    if wrong := wrong or _not_numbers(content):
        raise ValueError(f"{file} is damaged: {wrong[0]} is {str(content[wrong[0]])[:100]!r}.")
    before = _settings(file, content)
    check_settings(file, select(before), settings, defaults or {})
    return content


def _not_numbers(content: Mapping[str, Any]) -> list[str]:
    """Entries that should contain only finite numbers, at any depth, but do not."""

    def fits(value: Any) -> bool:
        if isinstance(value, Mapping):
            return all(map(fits, value.values()))
        if isinstance(value, Tensor):
            return bool(value.isfinite().all())
        return value is None or (isinstance(value, int | float) and math.isfinite(value))

    return [name for name in ("prompts", "optimizer", "scaler", "method", "phases") if not fits(content.get(name))]
