"""Names given by users: prefixes, checks, and suggestions for misspelt ones."""

import difflib
from collections.abc import Iterable, Sequence

OPEN_CLIP_PREFIX = "open_clip:"  # CLIPs loaded by open_clip
HUB_PREFIX = "hf:"  # CLIPs on the Hugging Face Hub, in transformers' layout
PROMPTS_PREFIX = "prompts:"  # teachers made of prompts from an earlier run


def weights_identity(name: str, sha256: str) -> str:
    """Identifies a CLIP before it is loaded: the hash of its weights and, for open_clip, the model they are loaded as.

    >>> weights_identity("ViT-B/32", "40d3"), weights_identity("open_clip:ViT-B-32/file.pt", "7a1c")
    ('40d3', '7a1c as ViT-B-32')
    """
    model = name.removeprefix(OPEN_CLIP_PREFIX).partition("/")[0]
    return f"{sha256} as {model}" if name.startswith(OPEN_CLIP_PREFIX) else sha256


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Text to insert in a message about an unknown name: similar known names, if any.

    >>> did_you_mean("vit-b/32", ["ViT-B/32", "RN50"])
    " (did you mean 'ViT-B/32'?)"
    """
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = [by_lower_case[match] for match in difflib.get_close_matches(name.lower(), by_lower_case)]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def comparable(name: str) -> str:
    """A normal form: names that differ only in case, or in underscores and spaces, denote the same class."""
    return " ".join(name.replace("_", " ").split()).casefold()


def check_distinct(names: Iterable[str], where: object) -> None:
    """Refuse duplicate class names: images of one class would be counted for two, or its probability split.

    Args:
        where: where the names come from, for the message.

    Raises:
        ValueError: with both names.
    """
    seen: dict[str, str] = {}
    for name in names:
        if comparable(name) in seen:
            before = seen[comparable(name)]
            also = f", also as {name!r}" if name != before else ""
            raise ValueError(f"{where} has the class name {before!r} twice{also}. Class names must be distinct.")
        seen[comparable(name)] = name


def check_known(name: str, known: Iterable[str], kind: str, flag: str) -> None:
    """Refuse a name that does not exist.

    Args:
        kind: what it names, such as "trainer".
        flag: the option that takes it, such as "--trainer".

    Raises:
        ValueError: listing the known names.
    """
    known = sorted(known)
    if name not in known:
        problem = f"There is no {kind} {name!r}{did_you_mean(name, known)}" if name else f"No {kind} was given"
        raise ValueError(f"{problem}; {flag} takes {', '.join(known)}.")


def list_of_names(names: Sequence[str], what: str) -> list[str]:
    """The names as a list.

    Raises:
        ValueError: if it is a string instead of a list, or a name is empty.
    """
    if isinstance(names, str):
        raise ValueError(f"{what} is the string {names!r}; pass a list of names, such as ['cat', 'dog'].")
    if empty := [i for i, name in enumerate(names) if not str(name).strip()]:
        raise ValueError(f"{what}: the name at index {empty[0]} is empty.")
    return [str(name) for name in names]
