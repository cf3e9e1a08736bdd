"""Training images whose order and augmentation are functions of (seed, epoch, image)."""

import os
import random
import zlib
from collections.abc import Callable, Iterator, Sequence

import torch
from dassl.utils import read_image
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

CACHE_BYTES = 2 * 2**30  # decoded images kept in memory by a worker, at most
SHARE_OF_MEMORY = 0.25  # of this machine, for the decoded images of all workers


def stream_seed(*names: int | str) -> int:
    """A seed for a random stream of its own, such as ("order", seed, epoch): 0 .. 2**32 - 1."""
    return zlib.crc32("/".join(map(str, names)).encode())


class SeededImages(Dataset):
    """Items of Dassl's ``train_x``; an index is a pair (epoch, image), so that workers need no other state.

    Images are decoded once and kept while they fit in ``cache_bytes``.
    """

    def __init__(
        self,
        items: Sequence,
        transform: Callable[[Image.Image], Tensor],
        seed: int,
        cache_bytes: int = CACHE_BYTES,
    ):
        """
        Args:
            items: with ``impath``, ``label`` and ``domain``, as Dassl's Datum.
            transform: from a PIL image to (3, height, width); it may draw from the generators of torch and ``random``.
        """
        self.items = items
        self.transform = transform
        self.seed = seed
        self.free_bytes = cache_bytes
        self.decoded: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> dict:
        epoch, index = epoch_and_index
        item = self.items[index]
        seed = stream_seed("augmentation", self.seed, epoch, index)
        python_state = random.getstate()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            image = self.transform(self._read(index))
        random.setstate(python_state)
        return {"img": image, "label": item.label, "domain": item.domain, "impath": item.impath, "index": index}

    def _read(self, index: int) -> Image.Image:
        if index in self.decoded:
            return self.decoded[index]
        image = read_image(self.items[index].impath)
        n_bytes = 3 * image.width * image.height
        if n_bytes <= self.free_bytes:
            self.free_bytes -= n_bytes
            self.decoded[index] = image
        return image


class EpochBatches(Sampler):
    """Batches of (epoch, index) pairs, in an order that (seed, epoch) decide; set :attr:`epoch` before iterating."""

    def __init__(self, n_items: int, batch_size: int, seed: int):
        """The last, smaller batch is dropped, unless it is the only one, as Dassl does."""
        self.n_items = n_items
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return max(1, self.n_items // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(stream_seed("order", self.seed, self.epoch))
        order = torch.randperm(self.n_items, generator=generator).tolist()
        for b in range(len(self)):
            yield [(self.epoch, index) for index in order[b * self.batch_size : (b + 1) * self.batch_size]]


def seeded_loader(
    items: Sequence, transform: Callable, batch_size: int, n_workers: int, seed: int, pin_memory: bool
) -> DataLoader:
    """A loader of the training images; its ``batch_sampler.epoch`` says which epoch comes next.

    Raises:
        ValueError: if there are no images.
    """
    if not items:
        raise ValueError("There are no training images: check DATASET.NUM_SHOTS, SUBSAMPLE_CLASSES and the split.")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cache_bytes = min(CACHE_BYTES, int(SHARE_OF_MEMORY * memory / max(1, n_workers)))
    return DataLoader(
        SeededImages(items, transform, seed, cache_bytes),
        batch_sampler=EpochBatches(len(items), batch_size, seed),
        num_workers=n_workers,
        persistent_workers=n_workers > 0,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(seed),  # workers' base seeds must not draw from the global stream
    )
