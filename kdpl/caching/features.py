"""A cache of float features, keyed by everything they depend on, in shards on disk or in memory."""

import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .blocks import digest

if TYPE_CHECKING:
    from .shards import Shards

STORED = {"fp32": torch.float32, "fp16": torch.float16}
MAX_GB = 20.0
MOST_CLAIMS = 256  # up to this many rows are claimed one by one; more share one claim
# Errors that mean that a folder cannot be used as a cache.
UNUSABLE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
_EDITION = 6  # increased whenever a key changes its meaning


class FeatureCache:
    """Features of frozen towers, each computed only once.

    >>> import torch
    >>> from kdpl.caching.features import FeatureCache, key_of
    >>> space = FeatureCache().space({"tower": "ones"})
    >>> space.complete([key_of("a.jpg"), key_of("b.jpg")], lambda missing: torch.ones(len(missing), 4)).shape
    torch.Size([2, 4])
    >>> space.complete([key_of("b.jpg")], lambda missing: 1 / 0)
    tensor([[1., 1., 1., 1.]])
    """

    def __init__(self, folder: str | os.PathLike | None = None, precision: str = "fp32", max_gb: float = MAX_GB):
        """
        Args:
            folder: where to store the features, created if necessary; processes can share it. None: in memory.
            precision: "fp32" keeps every bit. "fp16" halves the space, and all users of the cache get rounded features,
                including those just computed.
            max_gb: size limit in 10**9 bytes, beyond which the least recently used shards are removed.

        Raises:
            ValueError: if the precision or the size limit is invalid.
            OSError: if the folder cannot be created or written to.
        """
        if precision not in STORED:
            raise ValueError(f"The precision of the feature cache is {precision!r}; choose from {', '.join(STORED)}.")
        if not max_gb > 0:
            raise ValueError(f"The size limit of the feature cache is {max_gb} GB; it must be above 0.")
        self.folder, self.precision = None if folder is None else Path(folder).expanduser().absolute(), precision
        self.rows = _Memory() if self.folder is None else _shards(os.getpid(), self.folder, int(max_gb * 1e9))

    def space(self, depends_on: Mapping[str, Any], notes: Mapping[str, Any] | None = None) -> "FeatureSpace":
        """The features of one tower for one kind of input.

        Args:
            depends_on: everything these features depend on, as plain values.
            notes: other facts to store with them, such as those that make it unnecessary to load the tower.
        """
        return FeatureSpace(self, depends_on, notes or {})


class FeatureSpace:
    """Features with the same origin and width; see :meth:`FeatureCache.space`."""

    def __init__(self, owner: FeatureCache, depends_on: Mapping[str, Any], notes: Mapping[str, Any]):
        self.rows, self.dtype = owner.rows, STORED[owner.precision]
        self.depends_on = {**depends_on, "stored": owner.precision, "edition": _EDITION}
        self.name = key_of(self.depends_on)
        self.own_notes = dict(notes)

    @property
    def notes(self) -> dict[str, Any] | None:
        """The stored notes; None if there are no such features yet."""
        stored = self.rows.notes.get(self.name)
        return None if stored is None else json.loads(stored)["notes"]

    def lookup(self, keys: Iterable[bytes]) -> list[Tensor | None]:
        """The cached features, float32 on the CPU; None for those that are missing."""
        rows = (self.rows.read(self.name, key) for key in keys)
        return [row if row is None else torch.frombuffer(bytearray(row), dtype=self.dtype).float() for row in rows]

    def complete(self, keys: Sequence[bytes], compute: Callable[[list[int]], Tensor]) -> Tensor:
        """The features of all keys, (n, width), float32 on the CPU; each missing one is computed by only one process.

        Args:
            keys: from :func:`key_of`.
            compute: positions in ``keys`` -> their features (n, width).
        """
        found = self.lookup(keys)
        if missing_keys := [key for key, row in zip(keys, found, strict=True) if row is None]:
            claims = missing_keys if len(missing_keys) <= MOST_CLAIMS else [digest(*missing_keys)]
            with self.rows.claimed(claims):
                self.rows.refresh()
                found = self.lookup(keys)
                if missing := [i for i, row in enumerate(found) if row is None]:
                    computed = compute(missing).detach().cpu().to(self.dtype).contiguous()
                    self._store([keys[i] for i in missing], computed)
                    for i, row in zip(missing, computed.float(), strict=True):
                        found[i] = row
        return torch.stack(found)

    def _store(self, keys: Sequence[bytes], features: Tensor) -> None:
        notes = json.dumps({"depends_on": self.depends_on, "notes": self.own_notes}, ensure_ascii=False).encode()
        rows = [row.numpy().tobytes() for row in features]
        self.rows.append(self.name, notes, dict(zip(keys, rows, strict=True)))


class _Memory:
    """Rows in the memory of this process, with the interface of :class:`Shards`."""

    def __init__(self):
        self.notes: dict[bytes, bytes] = {}
        self._rows: dict[tuple[bytes, bytes], bytes] = {}

    def read(self, space: bytes, key: bytes) -> bytes | None:
        return self._rows.get((space, key))

    def refresh(self) -> None:
        """Nothing to do, as no other process writes."""

    def claimed(self, keys: Iterable[bytes]) -> AbstractContextManager:
        return nullcontext()

    def append(self, space: bytes, notes: bytes, rows: Mapping[bytes, bytes]) -> None:
        self.notes[space] = notes
        self._rows |= {(space, key): row for key, row in rows.items()}


def open_cache(
    cache: str | os.PathLike | FeatureCache | None, precision: str = "fp32", max_gb: float = MAX_GB
) -> FeatureCache | None:
    """Open the cache in a folder; return a cache unchanged; None for None or an empty name.

    Sweeps set a folder on every system. Where the necessary file locks are missing, the cache is switched off with a
    notice; with "fp16" this is an error, because rounded features change the results.
    """
    if isinstance(cache, FeatureCache):
        return cache
    if cache and precision == "fp32" and not _has_locks():
        print(f"The feature cache {cache} is off because this system lacks file locks. Results are not affected.")
        return None
    return FeatureCache(cache, precision, max_gb) if cache else None


def _has_locks() -> bool:
    try:
        from . import shards  # noqa: F401
    except ValueError:
        return False
    return True


def key_of(*facts: Any) -> bytes:
    """The key for these plain values."""
    return digest(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode())


@cache
def _shards(process: int, folder: Path, max_bytes: int) -> "Shards":
    """One index per folder and process, however often the folder is opened."""
    from .shards import Shards  # raises an error on systems without the necessary locks

    try:
        return Shards(folder, max_bytes)
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        raise ValueError(
            f"{folder} cannot be a feature cache ({os.strerror(error.errno)}). Set TRAINER.KDPL.CACHE_DIR, or --cache "
            "of kdpl train, to a writable folder, or leave it empty for no cache."
        ) from error
