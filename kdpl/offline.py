"""``KDPL_OFFLINE=1``: nothing is fetched, no socket is opened, and all that is missing is listed at once."""

import os
from collections.abc import Callable, Iterable
from typing import Any


class Missing(ConnectionError):
    """Files that are not on this machine and may not be fetched.

    Attributes:
        files: what is missing, in words.
        names: what ``kdpl fetch`` is to be asked for.
    """

    def __init__(self, files: Iterable[str], names: Iterable[str]):
        self.files, self.names = list(dict.fromkeys(files)), list(dict.fromkeys(names))
        listed = "\n  ".join(self.files)
        super().__init__(
            f"KDPL_OFFLINE is set, and these are not on this machine:\n  {listed}\n"
            f"Where there is a network: kdpl fetch {' '.join(self.names)} --to FOLDER. Copy the folder here and source "
            "its env.sh."
        )


def is_offline() -> bool:
    """Whether nothing may be fetched: ``KDPL_OFFLINE`` is set, to anything but 0."""
    return os.environ.get("KDPL_OFFLINE", "0") not in ("", "0")


def all_present(looks: Iterable[Callable[[], Any]]) -> list[Any]:
    """What each of these functions returns.

    Raises:
        Missing: naming the files that any of them lacks, not only those of the first.
    """
    found, files, names = [], [], []
    for look in looks:
        try:
            found.append(look())
        except Missing as missing:
            files += missing.files
            names += missing.names
    if files:
        raise Missing(files, names)
    return found
