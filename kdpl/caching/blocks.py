"""The format of blocks in a shard, designed so that an incompletely written block is always detected.

A block consists of a header with a checksum of header and keys, then the keys, then the rows, each preceded by its own
checksum.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

NOTES, ROWS = 0, 1  # kinds of blocks
SIZE = 16  # bytes in a digest
_HEADER = struct.Struct("<4s16sBII16s")  # magic, space, kind, number of rows, bytes per row, checksum
_MAGIC = b"KDP1"


class Block(NamedTuple):
    """The location of a block's rows.

    Attributes:
        space: digest of everything its rows have in common.
        row_bytes: size of each row, without its checksum.
        start, end: byte offsets in the shard; the checksum of the first row is at ``start``.
    """

    space: bytes
    kind: int
    keys: list[bytes]
    row_bytes: int
    start: int
    end: int

    def offsets(self) -> Iterator[tuple[bytes, int]]:
        """Keys with the offsets of their rows' checksums."""
        return zip(self.keys, range(self.start, self.end, SIZE + self.row_bytes), strict=True)


def digest(*parts: bytes) -> bytes:
    """A short hash that identifies contents."""
    return hashlib.blake2b(b"".join(parts), digest_size=SIZE).digest()


def encode_block(space: bytes, kind: int, rows: Mapping[bytes, bytes]) -> bytes:
    """Encode rows of equal length as a block."""
    keys, row_bytes = b"".join(rows), len(next(iter(rows.values())))
    fields = (_MAGIC, space, kind, len(rows), row_bytes)
    header = _HEADER.pack(*fields, _check(fields, keys))
    return b"".join([header, keys, *(digest(space, key, row) + row for key, row in rows.items())])


def read_block(file: int, offset: int, size: int) -> Block | None:
    """The block at ``offset`` in a file of ``size`` bytes; None if there is no complete block."""
    header = os.pread(file, _HEADER.size, offset)
    if len(header) < _HEADER.size:
        return None
    *fields, check = _HEADER.unpack(header)
    magic, space, kind, n_rows, row_bytes = fields
    start = offset + _HEADER.size + n_rows * SIZE
    end = start + n_rows * (SIZE + row_bytes)
    if magic != _MAGIC or end > size:
        return None
    keys = os.pread(file, n_rows * SIZE, offset + _HEADER.size)
    if _check(fields, keys) != check:
        return None
    return Block(space, kind, [keys[i : i + SIZE] for i in range(0, len(keys), SIZE)], row_bytes, start, end)


def read_row(file: int, space: bytes, key: bytes, offset: int, row_bytes: int) -> bytes | None:
    """The row whose checksum is at ``offset``; None if it is damaged."""
    content = os.pread(file, SIZE + row_bytes, offset)
    check, row = content[:SIZE], content[SIZE:]
    return row if len(row) == row_bytes and digest(space, key, row) == check else None


def _check(fields: tuple, keys: bytes) -> bytes:
    return digest(_HEADER.pack(*fields, bytes(SIZE)), keys)
