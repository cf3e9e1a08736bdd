"""Names that users write: help with those that are misspelt."""

import difflib
from collections.abc import Iterable, Sequence

OPEN_CLIP_PREFIX = "open_clip:"  # of CLIPs that open_clip loads
HUB_PREFIX = "hf:"  # of those of the Hugging Face hub in transformers' layout
PROMPTS_PREFIX = "prompts:"  # of teachers that are prompts of an earlier run


def weights_identity(name: str, sha256: str) -> str:
    """What identifies a CLIP before it is loaded: its weights file and, of open_clip's, the model that it is read as.

    >>> weights_identity("ViT-B/32", "40d3"), weights_identity("open_clip:ViT-B-32/file.pt", "7a1c")
    ('40d3', '7a1c as ViT-B-32')
    """
    model = name.removeprefix(OPEN_CLIP_PREFIX).partition("/")[0]
    return f"{sha256} as {model}" if name.startswith(OPEN_CLIP_PREFIX) else sha256


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Text to insert in a message about an unknown name: the known ones that come close, if any.

    >>> did_you_mean("vit-b/32", ["ViT-B/32", "RN50"])
    " (did you mean 'ViT-B/32'?)"
    """
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = [by_lower_case[match] for match in difflib.get_close_matches(name.lower(), by_lower_case)]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def comparable(name: str) -> str:
    """Names that differ in case or in underscores for spaces name the same class."""
    return " ".join(name.replace("_", " ").split()).casefold()


def check_distinct(names: Iterable[str], where: object) -> None:
    """Refuse class names that mean the same class: its images would count as one, or share its probability.

    Args:
        where: what has the names.

    Raises:
        ValueError: with both names.
    """
    seen: dict[str, str] = {}
    for name in names:
        if comparable(name) in seen:
            before = seen[comparable(name)]
            also = f", also as {name!r}" if name != before else ""
            raise ValueError(f"{where} has the class name {before!r} twice{also}. A class has one name.")
        seen[comparable(name)] = name


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


def list_of_names(names: Sequence[str], what: str) -> list[str]:
    """A list of names.

    Raises:
        ValueError: if it is one text instead of a list, or a name is empty.
    """
    if isinstance(names, str):
        raise ValueError(f"{what} is the text {names!r}; give a list of names, such as ['cat', 'dog'].")
    if empty := [i for i, name in enumerate(names) if not str(name).strip()]:
        raise ValueError(f"{what}: name {empty[0]} is empty.")
    return [str(name) for name in names]
