"""One process at a time, whatever happens to the others: the system frees the lock of a process that dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def one_at_a_time(file: Path, waiting: str) -> Iterator[None]:
    """Let one process in and have the others wait.

    Args:
        file: holds the lock, and stays; folders above it are made.
        waiting: printed if another process is in.
    """
    with first_comer(file) as ours:
        if not ours:
            print(waiting, flush=True)
            with FileLock(file):
                yield
        else:
            yield


@contextmanager
def first_comer(file: Path) -> Iterator[bool]:
    """Let one process in and turn the others away; gives whether it is this one.

    Args:
        file: as in :func:`one_at_a_time`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
