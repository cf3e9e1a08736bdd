"""Small files kept so that work is done once: beside the data where that is allowed, never where it is not."""

import os
from pathlib import Path

from kdpl.atomic_files import write_json_atomically


def may_write_in(folder: Path) -> bool:
    """Whether ``folder``, or the one that it would be made in, is open for writing.

    The permission bits count for root, too: a folder without any is somebody's archive.
    """
    while not folder.exists():
        folder = folder.parent
    return bool(folder.stat().st_mode & 0o222) and os.access(folder, os.W_OK)


def keep_json(path: Path, content: object) -> bool:
    """Write ``content`` at ``path`` if that may be and can be done; whether it was."""
    if not may_write_in(path.parent):
        return False
    try:
        write_json_atomically(path, content)
    except OSError:  # a full or read-only disk: everything kept here can be made again
        return False
    return True
