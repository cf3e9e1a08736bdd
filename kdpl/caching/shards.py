"""Rows of bytes in append-only files, shared by processes that may read, write or be killed at any time.

Each process appends only to its own shard, so writes never interleave. Every row is verified against its checksum. When
the next block would exceed the size limit, the least recently used shards are removed.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

try:
    import fcntl
    from os import pread, pwrite  # noqa: F401  missing on Windows
except ImportError as error:
    raise ValueError(
        f"A feature cache on disk needs file locks that this system does not have ({error}). Leave its folder empty; "
        "everything else works without it."
    ) from error

from .blocks import NOTES, ROWS, encode_block, read_block, read_row

SUFFIX = ".shard"
CLAIMS = "claims"  # file whose bytes are locked by processes
SHARDS_AT_THE_LIMIT = 64  # a shard is closed at 1/64 of the limit, so that removing the oldest one loses little
SECONDS_BETWEEN_MARKS = 60  # between updates of a shard's time of last use


class _Shard:
    """A shard file and how far it has been read."""

    def __init__(self, path: Path):
        self.path = path
        self.file = os.open(path, os.O_RDONLY)
        self.read_up_to = 0
        self.spaces: set[bytes] = set()  # spaces whose notes it contains
        self.marked = 0.0  # when this process last updated its time of use

    def close(self) -> None:
        os.close(self.file)


class Shards:
    """The rows in a folder, by space and key.

    Attributes:
        notes: the notes of each space.
    """

    def __init__(self, folder: Path, max_bytes: int):
        """
        Args:
            folder: created if necessary.
            max_bytes: size limit for all shards together.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.max_bytes = folder, max_bytes
        self.notes: dict[bytes, bytes] = {}
        self._shards: dict[str, _Shard] = {}
        self._rows: dict[bytes, dict[bytes, tuple[_Shard, int, int]]] = {}  # shard, offset, bytes per row
        self._lock = FileLock(folder / "lock")
        self._claims = os.open(folder / CLAIMS, os.O_RDWR | os.O_CREAT, 0o666)
        self._own: tuple[_Shard, int] | None = None  # the shard that this process appends to, and its file descriptor
        self._warned = False
        self.refresh()

    # Reading

    def read(self, space: bytes, key: bytes) -> bytes | None:
        """A row; None if it is damaged, or missing as of the last :meth:`refresh`."""
        place = self._rows.get(space, {}).get(key)
        if place is None:
            return None
        shard, offset, row_bytes = place
        row = read_row(shard.file, space, key, offset, row_bytes)
        if row is None:
            del self._rows[space][key]
        else:
            self._mark_used(shard)
        return row

    def refresh(self) -> None:
        """Update the index with rows that other processes have written or removed."""
        names = {entry.name for entry in os.scandir(self.folder) if entry.name.endswith(SUFFIX)}
        for name in self._shards.keys() - names:
            self._forget(name)
        for name in names - self._shards.keys():
            try:
                self._shards[name] = _Shard(self.folder / name)
            except FileNotFoundError:  # removed in the meantime
                continue
        for shard in self._shards.values():
            self._index_new_blocks(shard)

    def _index_new_blocks(self, shard: _Shard) -> None:
        """Add the blocks appended to a shard since it was last read."""
        size = os.fstat(shard.file).st_size
        while block := read_block(shard.file, shard.read_up_to, size):
            shard.read_up_to = block.end
            if block.kind == ROWS:
                rows = self._rows.setdefault(block.space, {})
                rows.update((key, (shard, offset, block.row_bytes)) for key, offset in block.offsets())
            elif notes := read_row(shard.file, block.space, block.space, block.start, block.row_bytes):
                self.notes[block.space] = notes
                shard.spaces.add(block.space)

    def _mark_used(self, shard: _Shard) -> None:
        if time.monotonic() - shard.marked < SECONDS_BETWEEN_MARKS and shard.marked:
            return
        shard.marked = time.monotonic()
        try:
            os.utime(shard.path)
        except FileNotFoundError:  # removed by another process: close it, to free its disk space
            self._forget(shard.path.name)
        except PermissionError:  # owned by another user; keeps its modification time
            pass

    def _forget(self, name: str) -> None:
        shard = self._shards.pop(name)
        for space, rows in self._rows.items():
            self._rows[space] = {key: place for key, place in rows.items() if place[0] is not shard}
        shard.close()

    def contents(self) -> dict[bytes, tuple[int, int]]:
        """Number of rows in each space, and their total bytes."""
        return {
            space: (len(rows), sum(row_bytes for *_, row_bytes in rows.values())) for space, rows in self._rows.items()
        }

    # Writing

    @contextmanager
    def claimed(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Claim these keys within the block, waiting for other processes that have claimed any of them.

        The operating system releases the claims of a process that dies.
        """
        offsets = sorted({int.from_bytes(key[:7], "little") for key in keys})  # all processes lock in the same order
        try:
            for offset in offsets:
                fcntl.lockf(self._claims, fcntl.LOCK_EX, 1, offset)
            yield
        finally:
            for offset in offsets:
                fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, offset)

    def append(self, space: bytes, notes: bytes, rows: Mapping[bytes, bytes]) -> None:
        """Store rows of equal length, unless they exceed the size limit or the disk is full.

        Args:
            notes: the notes of the space.
        """
        if not rows:
            return
        block = encode_block(space, ROWS, rows)
        with_notes = encode_block(space, NOTES, {space: notes}) + block
        if len(with_notes) > self.max_bytes:
            return
        try:
            with self._lock:
                shard, file = self._shard_with_room(len(with_notes))
                _write(shard, file, block if space in shard.spaces else with_notes)
                self._index_new_blocks(shard)
        except OSError as error:
            if not self._warned:
                print(
                    f"Warning: nothing new can be stored in the cache {self.folder}: {error}",
                    file=sys.stderr,
                    flush=True,
                )
            self._warned = True

    def _shard_with_room(self, n_bytes: int) -> tuple[_Shard, int]:
        """The shard for the next bytes, after removing others if necessary; the caller must hold the lock."""
        self._make_room(n_bytes)
        if self._own is not None:
            shard, file = self._own
            exists = os.fstat(file).st_nlink > 0
            if exists and shard.read_up_to + n_bytes <= max(self.max_bytes // SHARDS_AT_THE_LIMIT, n_bytes):
                return self._own
            os.close(file)
            self._own = None
        self._own = self._abandoned_shard(n_bytes) or self._open_own(self.folder / f"{uuid4().hex}{SUFFIX}")
        return self._own

    def _abandoned_shard(self, n_bytes: int) -> tuple[_Shard, int] | None:
        """The latest shard, if no process writes to it and it has room; an incomplete block at its end is cut off."""
        latest = max(self.files(), key=lambda file: file.stat().st_mtime_ns, default=None)
        if latest is None:
            return None
        try:
            own = self._open_own(latest)
        except PermissionError:  # owned by another user
            return None
        if own is not None:
            shard, file = own
            if shard.read_up_to + n_bytes <= self.max_bytes // SHARDS_AT_THE_LIMIT:
                os.ftruncate(file, shard.read_up_to)
                return own
            os.close(file)
        return None

    def _open_own(self, path: Path) -> tuple[_Shard, int] | None:
        """Open a shard for appending and lock it until this process ends; None if another process has locked it."""
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return None
        shard = self._shards[path.name] = self._shards.get(path.name) or _Shard(path)
        self._index_new_blocks(shard)
        return shard, file

    def _make_room(self, n_bytes: int) -> None:
        """Remove the least recently used shards until the next bytes fit; the caller must hold the lock."""
        files = [(file.stat().st_mtime_ns, file.stat().st_size, file) for file in self.files()]
        total = sum(size for _, size, _ in files) + n_bytes
        for _, size, file in sorted(files):
            if total <= self.max_bytes:
                break
            file.unlink()
            total -= size
            if file.name in self._shards:
                self._forget(file.name)

    def clear(self, unused_since: float) -> int:
        """Remove shards not used since a time (as :func:`time.time`); returns the number of bytes freed."""
        freed = 0
        with self._lock:
            for file in self.files():
                status = file.stat()
                if status.st_mtime <= unused_since:
                    file.unlink()
                    freed += status.st_size
        self.refresh()
        return freed

    def files(self) -> list[Path]:
        """The shard files."""
        return [Path(entry) for entry in os.scandir(self.folder) if entry.name.endswith(SUFFIX)]


def is_cache(folder: Path) -> bool:
    """Whether a folder is or was used as a cache."""
    return (folder / CLAIMS).is_file()


def _write(shard: _Shard, file: int, data: bytes) -> None:
    """Append to a shard; after an error it is unchanged."""
    offset, rest = shard.read_up_to, memoryview(data)
    try:
        while rest:
            written = os.pwrite(file, rest, offset)
            offset, rest = offset + written, rest[written:]
    except OSError:
        os.ftruncate(file, shard.read_up_to)
        raise
