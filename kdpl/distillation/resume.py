"""The file that an interrupted training resumes from, and whether it belongs to this training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..prompts.inert_files import read_checkpoint, save_atomically
from .training import Training

FILE_NAME = "resume.pth"


def save_resume_state(file: Path, training: Training, settings: Mapping[str, object], extra: dict[str, Any]) -> None:
    """Write the state after the last finished epoch.

    Args:
        settings: what the prompts depend on, as plain values.
        extra: what the caller wants back on resuming: tensors and plain values.
    """
    save_atomically(file, {**training.state_dict(), "settings": json.dumps(settings), **extra})


def read_resume_state(
    file: Path, settings: Mapping[str, object], defaults: Mapping[str, object]
) -> dict[str, Any]:
    """What an interrupted training with these settings left in ``file``, for :meth:`Training.load_state_dict`.

    Args:
        defaults: of the settings, for those that one side does not have.

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
    check_settings(file, before, settings, defaults)
    return content


def changed_settings(
    before: Mapping[str, object], now: Mapping[str, object], defaults: Mapping[str, object]
) -> dict[str, tuple[object, object]]:
    """The settings that differ, each with its value before and now.

    A setting that one side does not have was not known when that was written: it counts as having its default.
    """
    return {
        key: (before.get(key, defaults.get(key)), now.get(key, defaults.get(key)))
        for key in sorted(before.keys() | now.keys())
        if before.get(key, defaults.get(key)) != now.get(key, defaults.get(key))
    }


def check_settings(
    file: Path, before: Mapping[str, object], now: Mapping[str, object], defaults: Mapping[str, object]
) -> None:
    """Refuse to continue with ``now`` what ``file`` says was begun with ``before``.

    Raises:
        ValueError: listing the settings that differ.
    """
    changed = changed_settings(before, now, defaults)
    if changed:
        listed = "\n  ".join(f"{key}: {old} before, {new} now" for key, (old, new) in changed.items())
        raise ValueError(
            f"{file} is of a run with other settings, which cannot be continued with these:\n  {listed}\n"
            "Name another --output-dir, or remove that folder to start over."
        )
