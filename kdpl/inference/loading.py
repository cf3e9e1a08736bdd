"""Reading and transforming images in loader processes, in batches that do not depend on their number."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..clip.device import n_cores
from ..dassl_ranges import WORKERS
from .items import Item

MOST_WORKERS = 8


class Batch(NamedTuple):
    """Images for the model; zeros replace an image that cannot be read."""

    items: list[Item]
    images: Tensor  # (n, 3, size, size)
    errors: list[str | None]  # why an image cannot be read


class _Images(Dataset):
    """Indexed by :class:`Item`, so that loader processes need no list of all images."""

    def __init__(self, transform: Callable[[Image.Image], Tensor], size: int):
        self.transform = transform
        self.size = size

    def __getitem__(self, item: Item) -> tuple[Item, Tensor, str | None]:
        try:
            return item, self.transform(item.read()), None
        except (ValueError, OSError) as error:
            return item, torch.zeros(3, self.size, self.size), str(error)


def load_batches(
    batches: Iterable[list[Item]], transform: Callable[[Image.Image], Tensor], size: int, n_workers: int
) -> Iterator[Batch]:
    """Read batches of items, with prefetching.

    Args:
        transform: the evaluation transform.
        size: side of the transformed images, in pixels.

    Raises:
        OSError: if a loader process dies.
    """
    WORKERS.check("The number of loader processes", n_workers)
    loader = DataLoader(
        _Images(transform, size),
        batch_sampler=batches,
        num_workers=n_workers,
        collate_fn=_collate,
        generator=torch.Generator().manual_seed(0),  # leaves the global generator alone
    )
    try:
        yield from loader
    except RuntimeError as error:
        if n_workers and "worker" in str(error):
            raise OSError(f"A loader process died ({error}). Run the same command again to resume.") from error
        raise


def default_workers(device: torch.device, n_images: int | None, batch_size: int) -> int:
    """Number of loader processes: none for a single batch, one when computing on a CPU, up to eight for a GPU."""
    if n_images is not None and n_images <= batch_size:
        return 0
    return 1 if device.type == "cpu" else min(MOST_WORKERS, n_cores())


def _collate(samples: list[tuple[Item, Tensor, str | None]]) -> Batch:
    items, images, errors = zip(*samples, strict=True)
    return Batch(list(items), torch.stack(images), list(errors))
