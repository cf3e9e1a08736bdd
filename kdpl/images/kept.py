"""Memory for transformed images, so that later epochs, runs and evaluations need not read and transform them again."""

import math
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..caching.features import key_of
from ..caching.identity import identify_images, identify_transform
from ..clip.device import machine_memory

SHARE_OF_MEMORY = 1 / 8  # of the machine's memory, for training images and as much again for test images


class KeptImages:
    """Numbered images of one shape as bytes, shared with forked processes; in other processes, it becomes None.

    Several processes may store the same image at once, because they store the same bytes.

    >>> images = KeptImages(2, (3, 1, 1))
    >>> kept_or_made(images, 1, lambda: torch.full((3, 1, 1), 7, dtype=torch.uint8)).flatten()
    tensor([7, 7, 7], dtype=torch.uint8)
    >>> kept_or_made(images, 1, lambda: 1 / 0).flatten()
    tensor([7, 7, 7], dtype=torch.uint8)
    """

    def __init__(self, n: int, shape: Sequence[int]):
        self.shape, self.n_bytes = tuple(shape), size_of(n, shape)
        self._memory = mmap.mmap(-1, self.n_bytes)  # a flag for each, then all pixels; allocated when written
        self._pixels = torch.frombuffer(self._memory, dtype=torch.uint8)[n:].view(n, *shape)

    def __reduce__(self):
        return type(None), ()  # processes that are not forked do without

    def get(self, number: int) -> Tensor | None:
        """The image with this number, if it is kept; do not modify it."""
        return self._pixels[number] if self._memory[number] else None

    def put(self, number: int, image: Tensor) -> None:
        """Keep an image, unless its shape is another."""
        if image.shape == self.shape:
            self._pixels[number] = image
            self._memory[number] = 1  # written last: once it is visible, so is the rest


def kept_or_made(images: KeptImages | None, number: int, make: Callable[[], Tensor]) -> Tensor:
    """The image with this number; if it is not kept yet, it is made, and kept if that is possible."""
    if images is None:
        return make()
    image = images.get(number)
    if image is None:
        images.put(number, image := make())
    return image


def size_of(n: int, shape: Sequence[int]) -> int:
    """Bytes of memory for ``n`` images."""
    return n * (1 + math.prod(shape))


class ImageMemory:
    """Groups of images, as many as fit; see :func:`keep_images`.

    >>> memory = ImageMemory(n_bytes=10)
    >>> memory.group(("data/dtd", "seed 1"), 2, (3, 1, 1)) is memory.group(("data/dtd", "seed 1"), 2, (3, 1, 1))
    True
    >>> memory.group(("data/dtd", "seed 2"), 1, (3, 1, 1)) is None  # 8 of the 10 bytes are in use
    True
    """

    def __init__(self, n_bytes: int = 0):
        self.n_bytes = n_bytes
        self._groups: dict[tuple, KeptImages] = {}
        self._folders: set[str] = set()  # whose images the current run uses
        self._was_full = False

    def group(self, key: tuple, n: int, shape: Sequence[int]) -> KeptImages | None:
        """The group with this key, or a new one for ``n`` images; None if it does not fit.

        Args:
            key: the folder of the images, and whatever else distinguishes the group.
        """
        self._folders.add(key[0])
        if key not in self._groups:
            if size_of(n, shape) + sum(group.n_bytes for group in self._groups.values()) > self.n_bytes:
                self._was_full = True
                return None
            self._groups[key] = KeptImages(n, shape)
        return self._groups[key]

    def key(self, images: Sequence[Any], transform: Callable, *others: Any) -> tuple | None:
        """A key for transformed images; None if nothing is kept, or they are not files or cannot be identified."""
        if not self.n_bytes:
            return None
        files, described = identify_images(images), identify_transform(transform)
        if files is None or described is None:
            return None
        folder = os.path.commonpath([os.path.abspath(image) for image in images])
        return folder, key_of(folder, files, described, others)

    def next_run(self) -> None:
        """If the memory was too small for the last run, free the images from folders that this run did not use."""
        if self._was_full:
            self._groups = {key: group for key, group in self._groups.items() if key[0] in self._folders}
        self._folders, self._was_full = set(), False


TRAINING_VIEWS, TEST_IMAGES = ImageMemory(), ImageMemory()  # of this process; see keep_images


def keep_images(n_processes: int = 1) -> None:
    """Keep augmented training images and preprocessed test images for later runs of this process; call before each run.

    Args:
        n_processes: how many such processes share the machine's memory.
    """
    for memory in (TRAINING_VIEWS, TEST_IMAGES):
        memory.n_bytes = int(SHARE_OF_MEMORY * machine_memory() / n_processes)
        memory.next_run()
