"""One process at a time, whatever happens to the others: the system frees the lock of a process that dies."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

SECONDS_TO_END = 15  # that the workers of a killed process have to end, too


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


@contextmanager
def claim(file: Path) -> Iterator[bool]:
    """As :func:`first_comer`, leaving a note of who came for :func:`claimed_by`."""
    with first_comer(file) as ours:
        if ours:
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            with suppress(OSError):  # of a full disk; the lock holds without the note
                _note(file).write_text(f"process {os.getpid()} on {platform.node()}, since {since}\n", encoding="utf-8")
        yield ours


def claimed_by(file: Path) -> str:
    """Who holds a claim, in words; empty if nobody does."""
    if not file.exists():
        return ""
    with first_comer(file) as free:
        if free:
            return ""
    try:
        return _note(file).read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"


@contextmanager
def sole_writer(place: Path, file: Path) -> Iterator[None]:
    """Let one process write to a place.

    Args:
        place: for the message.
        file: holds the lock, and stays.

    Raises:
        BlockingIOError: saying which process writes there.
    """
    patience = time.monotonic() + SECONDS_TO_END
    while by := claimed_by(file):
        if time.monotonic() > patience or _is_alive(by):
            raise BlockingIOError(
                f"{place} is being written to by {by}. Wait until that is done, end it, or name another output."
            )
        time.sleep(0.2)
    with claim(file) as ours:
        if not ours:
            raise BlockingIOError(f"{place} is being written to by another process, which began at the same moment.")
        yield


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}-owner")


def _is_alive(owner: str) -> bool:
    """Whether the process of a note may be at work; one that was killed leaves its lock to its workers for seconds."""
    words = owner.split()
    if len(words) < 4 or words[3].rstrip(",") != platform.node() or not words[1].isdecimal() or os.name == "nt":
        return True
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
