"""Ranges of settings: declared beside the default, quoted in every message, checked in one place."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

LARGEST = 10**9
LONGEST_TEXT, MOST_SHOWN = 4096, 200  # characters


class Range(NamedTuple):
    """The values that a setting may have.

    Attributes:
        words: a description, as in "it takes a whole number from 1".
    """

    words: str
    holds: Callable[[Any], bool]

    @property
    def clause(self) -> str:
        """The possible values, as a clause for messages."""
        choices = self.words.removeprefix("one of ")
        return f"it takes {self.words}" if choices == self.words else f"choose from {choices}"

    def check(self, name: str, value: Any) -> None:
        """Refuse a value outside the range.

        Raises:
            ValueError: with the setting's name, the value and the range.
        """
        if not self.holds(value):
            raise ValueError(f"{name} is {shown(value)}; {self.clause}.")


def shown(value: Any) -> str:
    """The repr of a value for messages, truncated if it is long."""
    text = repr(value)
    return text if len(text) < MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def whole(least: int, most: int = LARGEST, *others: int, meaning: str = "") -> Range:
    """Whole numbers from ``least`` to ``most``, and ``others``.

    >>> whole(1, 10, -1).check("shots", 0)
    Traceback (most recent call last):
    ValueError: shots is 0; it takes a whole number from 1 to 10, or -1.
    """
    also = "".join(f", or {other}" for other in others)
    return Range(
        f"a whole number from {least:,} to {most:,}{also}{f' ({meaning})' * bool(meaning)}",
        lambda value: type(value) is int and (least <= value <= most or value in others),
    )


def real(least: float = -LARGEST, most: float = LARGEST, above: float | None = None) -> Range:
    """Finite numbers from ``least`` (or greater than ``above``) to ``most``."""
    start = f"above {above:g}" if above is not None else f"from {least:g}" if least > -LARGEST else ""
    words = " ".join(filter(None, ["a number", start, f"to {most:g}"]))

    def holds(value: Any) -> bool:
        in_range = type(value) in (int, float) and math.isfinite(value) and least <= value <= most
        return in_range and (above is None or value > above)

    return Range(words, holds)


def one_of(*names: str) -> Range:
    """One of these names."""
    return Range(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


def text(empty: bool = True) -> Range:
    """Text that can be printed and used in a path."""
    return Range(
        f"text of {0 if empty else 1} to {LONGEST_TEXT:,} characters, valid Unicode without control characters",
        lambda value: isinstance(value, str) and is_plain(value) and (empty or bool(value.strip())),
    )


def is_plain(value: str) -> bool:
    """Whether text has no control characters, can be encoded as UTF-8, and is not too long."""
    return len(value) <= LONGEST_TEXT and not any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in value)


FLAG = Range("True or False", lambda value: isinstance(value, bool))


def or_empty(values: Range) -> Range:
    """These values, or an empty value, which stands for the student's own."""
    words = f"{values.words}, or an empty value for the student's own"
    return Range(words, lambda value: value in ((), [], "") or values.holds(value))


def several(each: Range, n: int | None = None, rising: bool = False) -> Range:
    """A list or tuple of ``n`` values, or of any number of them."""
    what = f"{n} values" if n else "a list of values"
    return Range(
        f"{what}, each {each.words}{', the smaller one first' * rising}",
        lambda value: (
            isinstance(value, list | tuple)
            and n in (None, len(value))
            and all(map(each.holds, value))
            and (not rising or list(value) == sorted(value))
        ),
    )


_TEXT, _NUMBER = text(), real()
PLAIN = Range(
    "text, a number, or True or False", lambda value: any(kind.holds(value) for kind in (FLAG, _TEXT, _NUMBER))
)


def like(default: Any) -> Range:
    """Values of the same type as the default, for settings without a declared range."""
    kinds = {bool: FLAG, int: whole(-LARGEST), float: real(), str: text(), list: several(PLAIN), tuple: several(PLAIN)}
    return kinds.get(type(default), Range("any value", lambda value: True))


def check_all(values: Mapping[str, Any], ranges: Mapping[str, Range], defaults: Mapping[str, Any]) -> None:
    """Refuse the first value outside the range of its setting.

    Args:
        defaults: where no range is declared, values must have the type of the default.

    Raises:
        ValueError: with the setting's name, the value and the range.
    """
    for name, value in values.items():
        (ranges.get(name) or like(defaults.get(name))).check(name, value)
