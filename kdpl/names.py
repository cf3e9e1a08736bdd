"""Names that users write: help with those that are misspelt."""

import difflib
from collections.abc import Iterable

OPEN_CLIP_PREFIX = "open_clip:"  # of CLIPs that open_clip loads


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Text to insert in a message about an unknown name: the known ones that come close, if any.

    >>> did_you_mean("vit-b/32", ["ViT-B/32", "RN50"])
    " (did you mean 'ViT-B/32'?)"
    """
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = [by_lower_case[match] for match in difflib.get_close_matches(name.lower(), by_lower_case)]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def check_known(name: str, known: Iterable[str], kind: str, flag: str) -> None:
    """Refuse a name that does not exist.

    Args:
        kind: what it is a name of, such as "trainer".
        flag: what takes such names, such as "--trainer".

    Raises:
        ValueError: listing those that exist.
    """
    known = sorted(known)
    if name not in known:
        problem = f"There is no {kind} {name!r}{did_you_mean(name, known)}" if name else f"No {kind} is named"
        raise ValueError(f"{problem}; {flag} takes {', '.join(known)}.")
