"""Locks between processes; the operating system releases the lock of a process that dies."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

SECONDS_TO_END = 15  # how long the workers of a killed process may take to end


@contextmanager
def one_at_a_time(file: Path, waiting: str) -> Iterator[None]:
    """Let one process enter and make the others wait.

    Args:
        file: the lock file, which is not removed; parent folders are created.
        waiting: printed if another process holds the lock.
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
    """Let one process enter and turn the others away; yields whether this process got the lock.

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
    """Like :func:`first_comer`, and record the owner for :func:`claimed_by`."""
    with first_comer(file) as ours:
        if ours:
            owner = f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
            with suppress(OSError):  # full disk; the lock works without this file
                _owner_file(file).write_text(owner, encoding="utf-8")
        yield ours


def claimed_by(file: Path) -> str:
    """A description of the process that holds a claim; empty if none does."""
    if not file.exists():
        return ""
    with first_comer(file) as free:
        if free:
            return ""
    try:
        return _owner_file(file).read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"


@contextmanager
def sole_writer(place: Path, file: Path) -> Iterator[None]:
    """Let only one process write to a place.

    Args:
        place: named in the message.
        file: the lock file, which is not removed.

    Raises:
        BlockingIOError: naming the process that is already writing there.
    """
    deadline = time.monotonic() + SECONDS_TO_END
    while owner := claimed_by(file):
        if time.monotonic() > deadline or _is_alive(owner):
            raise BlockingIOError(
                f"{place} is being written to by {owner}. Wait for it to finish, stop it, or choose another output."
            )
        time.sleep(0.2)
    with claim(file) as ours:
        if not ours:
            raise BlockingIOError(f"{place} is being written to by another process, which started at the same moment.")
        yield


def _owner_file(file: Path) -> Path:
    return file.with_name(f"{file.name}-owner")


def _is_alive(owner: str) -> bool:
    """Whether the recorded process may be alive; after one is killed, its workers hold the lock for a few seconds."""
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
