"""The images given on a command line: files, folders, tar shards, and paths from standard input."""

import io
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..images.files import is_image_name, no_images_in, read_image, walk_images
from ..outside import check_file

STDIN = "-"


class Item(NamedTuple):
    """A reference to an image that has not been read yet.

    ``offset`` and ``size`` locate its bytes in a tar shard, so that any process can read them on their own.
    """

    name: str  # in tables: the path, or shard/member
    path: str
    offset: int = -1
    size: int = -1

    def read(self) -> Image.Image:
        """Read the image as RGB.

        Raises:
            FileNotFoundError, ValueError: if it cannot be read.
        """
        if self.offset < 0:
            return read_image(self.path)
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return read_image(self.name, io.BytesIO(file.read(self.size)))


def check_sources(sources: Sequence[str]) -> None:
    """Refuse sources that do not exist or contain no images, before anything slow starts.

    Raises:
        FileNotFoundError: naming those that do not exist.
        ValueError: naming folders and shards without images.
    """
    named = [source for source in sources if source != STDIN]
    if missing := [source for source in named if not os.path.exists(source)]:
        raise FileNotFoundError(
            f"{', '.join(missing)} does not exist. Pass images, folders, tar shards, or - for paths on standard input."
        )
    for source in named:
        if not os.path.isdir(source):
            check_file(source, "image")
        if (os.path.isdir(source) or is_shard(source)) and next(_items_of(source), None) is None:
            raise ValueError(no_images_in(source))


def each_item(sources: Iterable[str]) -> Iterator[Item]:
    """Yield all images of the sources, in order; in folders and shards, only files that look like images.

    Args:
        sources: images, folders (walked in sorted order), tar shards, or "-" for paths on standard input, one per line.

    Raises:
        ValueError: if a shard is damaged or compressed.
    """
    for source in sources:
        yield from _items_of(source)


def count_items(sources: Sequence[str]) -> int | None:
    """Number of images; None if they come from standard input."""
    return None if STDIN in sources else sum(1 for _ in each_item(sources))


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive lists of ``size`` items; the last one may be shorter."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def is_shard(source: str) -> bool:
    """Whether a source is read as a tar archive."""
    return source.lower().endswith(".tar")


def _items_of(source: str) -> Iterator[Item]:
    if source == STDIN:
        for line in sys.stdin:
            if path := line.rstrip("\r\n"):
                yield Item(path, path)
    elif is_shard(source):
        yield from _members(source)
    elif os.path.isdir(source):
        yield from (Item(str(path), str(path)) for path in walk_images(source))
    else:
        yield Item(source, source)


def _members(shard: str) -> Iterator[Item]:
    """The images in a tar archive, in its order, without reading their bytes."""
    check_file(shard, "tar archive")
    try:
        with tarfile.open(shard, "r:") as archive:
            while (member := archive.next()) is not None:
                if member.isfile() and is_image_name(Path(member.name).name):
                    yield Item(f"{shard}/{member.name}", shard, member.offset_data, member.size)
                archive.members = []  # otherwise it keeps all members in memory
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{shard} cannot be read as an uncompressed tar archive ({error}).") from error
