"""Small files stored beside the data to avoid repeating work, if the folder is writable."""

import os
from pathlib import Path

from kdpl.atomic_files import write_json_atomically


def may_write_in(folder: Path) -> bool:
    """Whether ``folder``, or the nearest existing parent, is writable.

    Permission bits are respected even for root, because a folder without write permission is meant to stay unchanged.
    """
    while not folder.exists():
        folder = folder.parent
    return bool(folder.stat().st_mode & 0o222) and os.access(folder, os.W_OK)


def keep_json(path: Path, content: object) -> bool:
    """Write ``content`` to ``path`` if possible; returns whether it was written."""
    if not may_write_in(path.parent):
        return False
    try:
        write_json_atomically(path, content)
    except OSError:  # full or read-only disk; these files can be recreated
        return False
    return True
