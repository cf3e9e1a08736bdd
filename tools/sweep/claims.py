"""Which process works on a run: the one that holds the lock in the run's folder; the system frees it when that dies.

Between the machines of a cluster the lock holds on file systems that share flock(2), such as NFS from version 3 on,
Lustre mounted with -o flock, and GPFS.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from kdpl import locks

FILE_NAME = ".claim"


def claim(folder: Path) -> AbstractContextManager[bool]:
    """Try to take a run; gives whether it is ours until the block ends. The files stay, only the lock counts."""
    return locks.claim(folder / FILE_NAME)


def claimed_by(folder: Path) -> str:
    """Who works on a run, in words; empty if nobody does."""
    return locks.claimed_by(folder / FILE_NAME)
