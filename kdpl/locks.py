"""One process at a time, whatever happens to the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def one_at_a_time(file: Path, waiting: str) -> Iterator[None]:
    """Let one process in and have the others wait; the system frees the lock of a process that dies.

    Args:
        file: holds the lock, and stays; folders above it are made.
        waiting: printed if another process is in.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(waiting, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
