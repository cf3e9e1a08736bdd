"""Training images whose order and augmentation are functions of (seed, epoch, image)."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ..clip.device import machine_memory
from ..dassl_ranges import WORKERS
from ..random_streams import drawing_from, stream_seed
from .decoded import DecodedImages
from .files import as_rgb, read_image
from .kept import TRAINING_VIEWS, ImageMemory, KeptImages, kept_or_made
from .pixels import shape_after, split_transform

CACHE_BYTES = 2 * 2**30  # maximum memory for decoded images per worker
SHARE_OF_MEMORY = 0.25  # fraction of the machine's memory for decoded images of all workers


class SeededImages(Dataset):
    """Augmented images, indexed by pairs (epoch, image), so that workers need no other state.

    Images are decoded once and kept for all workers as long as they fit in ``cache_bytes``; see also
    :meth:`keep_views`. An index (epoch, image, False) gives only the facts of an image, without pixels.

    Attributes:
        normalise: the part of the transform that runs on the device, see :func:`split_transform`, or None.
    """

    def __init__(
        self,
        images: Sequence,
        transform: Callable[[Image.Image], Tensor],
        seed: int,
        facts: Sequence[Mapping[str, Any]] | None = None,
        cache_bytes: int = CACHE_BYTES,
        views: int = 0,
    ):
        """
        Args:
            images: paths of image files, or a torch dataset of PIL images or of tuples that start with one.
            transform: maps a PIL image to (3, height, width); may use the random generators of torch and ``random``.
            facts: other entries for each image, such as its label.
            views: augmentations per image, reused across epochs; 0 draws a new one in every epoch.
        """
        self.images = images
        self.transform = transform
        self.seed = seed
        self.facts = facts
        self.views = views
        self._augment, self.normalise = split_transform(transform)
        self.decoded = DecodedImages(len(images), cache_bytes)
        self._kept: dict[int, KeptImages | None] = {}  # by view

    def __len__(self) -> int:
        return len(self.images)

    def view(self, epoch: int) -> int:
        """The first epoch that has the same augmentations as this one."""
        return epoch % self.views if self.views else epoch

    def augmentation_seed(self, epoch: int, index: int) -> int:
        """The seed for the augmentation of an image."""
        return stream_seed("augmentation", self.seed, self.view(epoch), index)

    def __getitem__(self, epoch_and_index: tuple[int, ...]) -> dict[str, Any]:
        epoch, index, *without_picture = epoch_and_index
        facts = {"index": index, **(self.facts[index] if self.facts else {})}
        if without_picture:
            return facts
        kept = self._kept.get(self.view(epoch))
        return {"img": kept_or_made(kept, index, lambda: self._augmented(epoch, index)), **facts}

    def keep_views(self, n_epochs: int) -> None:
        """Keep augmented images in memory if they will be needed again, as many as fit.

        That is, if epochs repeat them, or if :func:`keep_images` says that this process has more runs to come.
        """
        if self.normalise is None:  # not bytes
            return
        memory, key = TRAINING_VIEWS, TRAINING_VIEWS.key(self.images, self.transform, self.seed)
        if key is None and 0 < self.views < n_epochs:
            memory, key = ImageMemory(self.decoded.n_bytes), ("",)
        if key is not None:
            n, shape = len(self), shape_after(self._augment)
            self._kept = {view: memory.group((*key, view), n, shape) for view in range(n_views(self.views, n_epochs))}

    def _augmented(self, epoch: int, index: int) -> Tensor:
        with drawing_from(self.augmentation_seed(epoch, index)):
            return self._augment(self._read(index))

    def _read(self, index: int) -> Image.Image:
        image = self.decoded.get(index)
        if image is None:
            image = picture(self.images[index])
            self.decoded.put(index, image)
        return image


def picture(item: Any) -> Image.Image:
    """Read an item as an RGB image: a path, a PIL image, or a tuple that starts with one.

    Raises:
        ValueError: if a file cannot be read.
        TypeError: if it is something else.
    """
    if isinstance(item, tuple | list) and item:
        item = item[0]  # what follows, such as a label, is never read
    if isinstance(item, str | os.PathLike):
        return read_image(item)
    if isinstance(item, Image.Image):
        return as_rgb(item)
    raise TypeError(f"Images must be paths or a dataset of PIL images; got a {type(item).__name__}.")


class EpochBatches(Sampler):
    """Batches of (epoch, index) pairs, in an order determined by (seed, epoch); set :attr:`epoch` before iterating.

    Attributes:
        needs_pictures: called with the indices of each batch; returns whether its pixels should be loaded.
    """

    def __init__(self, n_items: int, batch_size: int, seed: int):
        """As in Dassl, an incomplete last batch is dropped, unless it is the only one."""
        self.n_items = n_items
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.needs_pictures: Callable[[list[int]], bool] = needs_all_pictures

    def __len__(self) -> int:
        return max(1, self.n_items // self.batch_size)

    def order(self, epoch: int) -> list[int]:
        """The order of the images in an epoch."""
        generator = torch.Generator().manual_seed(stream_seed("order", self.seed, epoch))
        return torch.randperm(self.n_items, generator=generator).tolist()

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        epoch = self.epoch
        order = self.order(epoch)
        for b in range(len(self)):
            indices = order[b * self.batch_size : (b + 1) * self.batch_size]
            without_picture = () if self.needs_pictures(indices) else (False,)
            yield [(epoch, index, *without_picture) for index in indices]


def needs_all_pictures(indices: list[int]) -> bool:
    """The default for :attr:`EpochBatches.needs_pictures`: load all pixels."""
    return True


class EpochLoader(DataLoader):
    """A loader whose workers start the next epoch while the last steps of the current one are running.

    Attributes:
        n_epochs: length of the training; None if unknown, in which case nothing is loaded ahead.
    """

    n_epochs: int | None = None
    _ahead: tuple[int, Iterator[dict[str, Any]]] | None = None  # the next epoch, already started

    def __iter__(self) -> Iterator[dict[str, Any]]:
        epoch, ahead = self.batch_sampler.epoch, self._ahead
        self._ahead = None
        iterator = ahead[1] if ahead is not None and ahead[0] == epoch else super().__iter__()
        for number in range(1, len(self) + 1):
            batch = next(iterator)
            if number == len(self) and self._may_begin(epoch + 1):
                self.batch_sampler.epoch = epoch + 1
                self._ahead = epoch + 1, super().__iter__()
                self.batch_sampler.epoch = epoch
            yield batch

    def _may_begin(self, epoch: int) -> bool:
        # needs_pictures is set for one epoch at a time.
        known = self.batch_sampler.needs_pictures is not needs_all_pictures
        return self.num_workers > 0 and self.n_epochs is not None and epoch < self.n_epochs and not known


def check_views(views: int, key: str = "views") -> None:
    """Refuse a negative number of augmentations per image.

    Raises:
        ValueError: naming the setting.
    """
    if views < 0:
        raise ValueError(f"{key} is {views}; give the number of augmentations per image, or 0 for new ones each epoch.")


def n_views(views: int, n_epochs: int) -> int:
    """Number of different augmentations of each image in a training with this setting.

    >>> n_views(0, 50), n_views(8, 50), n_views(8, 5)
    (50, 8, 5)
    """
    return min(views, n_epochs) or n_epochs


def describe_views(views: int) -> dict[str, Any]:
    """Entries about repeated augmentations for prompt files; empty if augmentations are not repeated."""
    departure = f"the epochs repeat {views} augmentations of each image; in the paper every epoch has new ones"
    return {"views": views, "departure": departure} if views else {}


def seeded_loader(
    images: Sequence,
    transform: Callable[[Image.Image], Tensor],
    batch_size: int,
    n_workers: int,
    seed: int,
    pin_memory: bool,
    facts: Sequence[Mapping[str, Any]] | None = None,
    views: int = 0,
) -> EpochLoader:
    """A loader of training images; set ``batch_sampler.epoch`` to the next epoch before iterating.

    Args:
        images, transform, facts, views: see :class:`SeededImages`.

    Raises:
        ValueError: if there are no images.
    """
    WORKERS.check("The number of loader processes", n_workers)
    if not len(images):
        raise ValueError(
            "There are no training images. Check DATASET.NUM_SHOTS, DATASET.SUBSAMPLE_CLASSES and the split."
        )
    memory = machine_memory()
    shared = multiprocessing.get_start_method() == "fork"
    n_stores = 1 if shared else max(1, n_workers)
    cache_bytes = int(min(CACHE_BYTES * max(1, n_workers), SHARE_OF_MEMORY * memory) / n_stores)
    return EpochLoader(
        SeededImages(images, transform, seed, facts, cache_bytes, views),
        batch_sampler=EpochBatches(len(images), batch_size, seed),
        num_workers=n_workers,
        persistent_workers=n_workers > 0,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(seed),  # base seeds of workers, not from the global generator
    )
