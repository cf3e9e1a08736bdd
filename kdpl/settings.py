"""Settings as plain values by dotted key, and comparing those of two runs."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .names import did_you_mean
from .ranges import Range, like, shown

AUTO = "auto"  # the program chooses


def flat(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """All values of a nested configuration by dotted key."""
    found = {}
    for key, value in config.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def changed_settings(
    before: Mapping[str, object], now: Mapping[str, object], defaults: Mapping[str, object]
) -> dict[str, tuple[object, object]]:
    """The settings that differ, each with its old and new value.

    A setting that is missing on one side did not exist when that side was written, and counts as its default. A new
    value of AUTO matches any old value.

    >>> changed_settings({"lr": 1, "PREC": "fp16"}, {"lr": 2, "PREC": "auto"}, {})
    {'lr': (1, 2)}
    """
    both = (
        (key, before.get(key, defaults.get(key)), now.get(key, defaults.get(key))) for key in before.keys() | now.keys()
    )
    return {key: (old, new) for key, old, new in sorted(both) if old != new and new != AUTO}


def check_settings(
    file: Path, before: Mapping[str, object], now: Mapping[str, object], defaults: Mapping[str, object]
) -> None:
    """Refuse to continue a run whose settings, as recorded in ``file``, differ from the current ones.

    Args:
        before, now: the recorded and the current settings.
        defaults: values for settings that one side does not have.

    Raises:
        ValueError: listing the settings that differ.
    """
    changed = changed_settings(before, now, defaults)
    if changed:
        listed = "\n  ".join(f"{key}: {old} before, {new} now" for key, (old, new) in changed.items())
        raise ValueError(
            f"{file} was made with other settings, so this run cannot continue it:\n  {listed}\n"
            "Choose another output, or remove that one to start over."
        )


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as nested plain dictionaries, sorted by key."""
    return {key: plain_config(value) if isinstance(value, dict) else value for key, value in sorted(config.items())}


def check_keys(config: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    """Refuse an unknown key; the message lists similar keys and those of its group."""
    known = list(flat(config))
    nodes = {key[:place] for key in known for place, character in enumerate(key) if character == "."}
    for key in keys:
        if key in known:
            continue
        if key in nodes:
            below = ", ".join(get_node(config, key))
            raise ValueError(f"{key} in {where} is a group of settings; choose one of {below}.")
        node = key.rpartition(".")[0]
        listed = (
            f"{node} has {', '.join(get_node(config, node))}" if node in nodes else f"groups are {', '.join(config)}"
        )
        raise ValueError(f"Unknown key {key!r} in {where}{did_you_mean(key, known)}; {listed}.")


def get_node(config: Mapping[str, Any], path: str) -> Any:
    """The node at a dotted path; the root for an empty path."""
    for key in filter(None, path.split(".")):
        config = config[key]
    return config


def merge_value(config: Any, key: str, value: Any, ranges: Mapping[str, Range], where: str = "") -> None:
    """Set a key of a yacs configuration to a value, or to a string that is parsed; float settings accept integers.

    Args:
        where: prefix for messages, such as "file.yaml: ".

    Raises:
        ValueError: if the type of the value does not match the default; the message names the possible values.
    """
    path, _, name = key.rpartition(".")
    default = get_node(config, path)[name]
    try:
        if isinstance(default, float) and re.fullmatch(r"[+-]?\d{1,15}", str(value)):
            value = float(value)
        config.merge_from_list([key, value])
    except (ValueError, AssertionError, AttributeError, TypeError, KeyError, RecursionError, MemoryError) as error:
        values = ranges.get(key) or like(default)
        raise ValueError(f"{where}{key} cannot be {shown(value)}; {values.clause}.") from error
