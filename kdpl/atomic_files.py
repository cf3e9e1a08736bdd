"""Atomic file writes: an interrupted write never leaves a partial file."""

import errno
import glob
import json
import os
import platform
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NODE = f"{zlib.crc32(platform.node().encode()):08x}"  # identifies this machine, because others may share the folder


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path that is renamed to ``path`` when the block ends without an error.

    Parent folders are created. After an error nothing is left behind, and an existing ``path`` is unchanged.

    Raises:
        ValueError: if ``path`` exists and is not a regular file.
        OSError: if files cannot be created there.
    """
    temporary = _temporary_file(Path(path))
    umask = os.umask(0)
    os.umask(umask)
    try:
        with naming(path):
            yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())  # a power cut must not leave a renamed but empty file
        if stat.S_IMODE(os.stat(temporary).st_mode) == 0o600:  # mkstemp and some libraries create private files
            os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


@contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Add ``path``, which the block writes to, to errors of a full disk; Python's own errors name no file."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE and error.filename is None:
            error.filename = os.fspath(path)
        raise


def check_place(path: str | os.PathLike) -> None:
    """Check in advance that :func:`atomic_path` can write to a path; it raises the same errors."""
    _temporary_file(Path(path)).unlink()


def _temporary_file(path: Path) -> Path:
    """Create an empty file beside ``path``; a device or a pipe there is refused, because renaming would replace it."""
    if os.path.lexists(path) and not (path.is_symlink() or path.is_file()):
        kind = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise ValueError(f"{path} is {kind}; the output must be a regular file. Choose another path.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    prefix = f".{path.name}.{NODE}-{os.getpid()}."
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".part")
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error  # the path that the user knows
    os.close(handle)
    return Path(temporary)


def _remove_leftovers(path: Path) -> None:
    """Delete temporary files for ``path`` left by processes of this machine that were killed."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.{NODE}-*.part"):
        pid = leftover.name[len(f".{path.name}.{NODE}-") :].partition(".")[0]
        if pid.isdecimal() and os.name == "posix":
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                leftover.unlink(missing_ok=True)
            except OSError:
                pass  # alive, and owned by another user


def write_json_atomically(path: str | os.PathLike, content: object) -> None:
    """Write ``content`` as indented UTF-8 JSON."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
