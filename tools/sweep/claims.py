"""Which process works on a run: one holds a lock on a file in the run's folder, and the system frees it when it dies.

The lock is of the kind flock(2); between the machines of a cluster it holds on the file systems that share it, such as
NFS from version 3 on Linux, Lustre mounted with -o flock, and GPFS.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_NAME = ".claim"


@contextmanager
def claim(folder: str | os.PathLike) -> Iterator[bool]:
    """Try to take a run; gives whether it is ours until the block ends. The file stays, only its lock counts."""
    path = Path(folder) / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield True


def claimed_by(folder: str | os.PathLike) -> str:
    """Who works on a run, in words; empty if nobody does."""
    path = Path(folder) / FILE_NAME
    try:
        with open(path, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another process"
    except FileNotFoundError:
        pass
    return ""
