"""One process at a time fetches into the folder of a dataset."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".fetching"


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process in and have the others wait; the system frees the lock of a process that dies."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    while True:
        with open(path, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"  another process fetches into {folder}: waiting until it is done", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if not (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
                continue  # the one before us is done and has deleted what we had waited for
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
