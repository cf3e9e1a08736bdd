"""Which process works on a run: the one that holds the lock in the run's folder; the system frees it when that dies.

Between the machines of a cluster the lock holds on file systems that share flock(2), such as NFS from version 3 on,
Lustre mounted with -o flock, and GPFS.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdpl.locks import first_comer

FILE_NAME = ".claim"
OWNER = ".claim-owner"  # who has taken the run last


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Try to take a run; gives whether it is ours until the block ends. The files stay, only the lock counts."""
    with first_comer(folder / FILE_NAME) as ours:
        if ours:
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            (folder / OWNER).write_text(f"process {os.getpid()} on {os.uname().nodename}, since {since}\n")
        yield ours


def claimed_by(folder: Path) -> str:
    """Who works on a run, in words; empty if nobody does."""
    if not (folder / FILE_NAME).exists():
        return ""
    with first_comer(folder / FILE_NAME) as free:
        if free:
            return ""
    owner = folder / OWNER
    return owner.exists() and owner.read_text().strip() or "another process"
