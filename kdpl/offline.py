"""``KDPL_OFFLINE=1``: no downloads, no sockets, and one message that lists every missing file."""

import os
from collections.abc import Callable, Iterable
from typing import Any


class Missing(ConnectionError):
    """Files that are not on this machine and must not be downloaded.

    Attributes:
        files: descriptions of what is missing.
        names: the arguments for ``kdpl fetch``.
    """

    def __init__(self, files: Iterable[str], names: Iterable[str]):
        self.files, self.names = list(dict.fromkeys(files)), list(dict.fromkeys(names))
        listed = "\n  ".join(self.files)
        super().__init__(
            f"KDPL_OFFLINE is set, and these files are not on this machine:\n  {listed}\n"
            f"On a machine with network access, run: kdpl fetch {' '.join(self.names)} --to FOLDER\n"
            "Then copy the folder here and source its env.sh."
        )


def is_offline() -> bool:
    """Whether downloads are forbidden: ``KDPL_OFFLINE`` is set, to anything but 0."""
    return os.environ.get("KDPL_OFFLINE", "0") not in ("", "0")


def all_present(lookups: Iterable[Callable[[], Any]]) -> list[Any]:
    """Call all functions and return their results.

    Raises:
        Missing: naming the missing files of all functions, not only of the first.
    """
    found, files, names = [], [], []
    for lookup in lookups:
        try:
            found.append(lookup())
        except Missing as missing:
            files += missing.files
            names += missing.names
    if files:
        raise Missing(files, names)
    return found
