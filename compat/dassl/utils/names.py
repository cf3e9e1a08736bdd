"""Checks of names that users type, with suggestions."""

from collections.abc import Sequence
from difflib import SequenceMatcher


def tolist_if_not(x: object) -> list:
    """``x`` if it is a list, else a list with ``x`` as its only item."""
    return x if isinstance(x, list) else [x]


def get_most_similar_str_to_a_from_b(a: str, b: Sequence[str]) -> str | None:
    """The string in ``b`` most similar to ``a``, the last one on ties; None if ``b`` is empty."""
    return max(reversed(b), key=lambda candidate: SequenceMatcher(None, a, candidate).ratio(), default=None)


def check_availability(requested: str, available: Sequence[str]) -> None:
    """Check that a name exists.

    Raises:
        ValueError: if ``requested`` is not in ``available``; the message lists those and suggests the nearest.
    """
    if requested in available:
        return
    nearest = get_most_similar_str_to_a_from_b(requested, available)
    raise ValueError(f"{requested!r} does not exist; available are {sorted(available)} (do you mean {nearest!r}?)")
