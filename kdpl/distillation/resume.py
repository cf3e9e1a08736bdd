"""The file that an interrupted training resumes from, and whether it belongs to this training."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..prompts.inert_files import read_checkpoint, save_atomically
from ..settings import AUTO, check_settings
from .training import Training

FILE_NAME = "resume.pth"


def save_resume_state(file: Path, training: Training, settings: Mapping[str, object], extra: dict[str, Any]) -> None:
    """Write the state after the last finished epoch.

    Args:
        settings: what the prompts depend on, as plain values.
        extra: what the caller wants back on resuming: tensors and plain values.
    """
    save_atomically(file, {**training.state_dict(), "settings": json.dumps(settings), **extra})


def begun_with(file: Path, key: str, value: str) -> str:
    """A setting, where AUTO is what the interrupted training in ``file`` began with, if there is one.

    Raises:
        ValueError: if the file is damaged.
    """
    if value == AUTO and file.is_file():
        return json.loads(read_checkpoint(file).get("settings", "{}")).get(key, value)
    return value


def read_resume_state(
    file: Path,
    settings: Mapping[str, object],
    defaults: Mapping[str, object] | None = None,
    counting: Callable[[Mapping[str, object]], Mapping[str, object]] = dict,
) -> dict[str, Any]:
    """What an interrupted training with these settings left in ``file``, for :meth:`Training.load_state_dict`.

    Args:
        defaults: of the settings, for those that one side does not have.
        counting: keeps those of the file's settings that prompts depend on.

    Raises:
        ValueError: if it is not such a file, or is of a training with other settings; these are named.
    """
    content = read_checkpoint(file)
    if missing := {"epoch", "settings", "prompts", "optimizer"} - content.keys():
        raise ValueError(f"{file} is not the state of a training: it has no {', no '.join(sorted(missing))}.")
    try:
        before = dict(json.loads(content["settings"]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is not the state of a training: its settings are damaged ({error}).") from error
    check_settings(file, counting(before), settings, defaults or {})
    return content
