"""Images read and transformed by loader processes, in batches whose order and content never depend on these."""

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
    """Images for the model; zeros stand for an image that cannot be read."""

    items: list[Item]
    images: Tensor  # (n, 3, size, size)
    errors: list[str | None]  # why an image cannot be read


class _Images(Dataset):
    """The index of an image is its :class:`Item`, so that loader processes need no list of all images."""

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
    """Read batches of items, a few ahead of the one that is asked for.

    Args:
        transform: of the evaluation.
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
        generator=torch.Generator().manual_seed(0),  # the global stream is not ours to draw from
    )
    try:
        yield from loader
    except RuntimeError as error:
        if n_workers and "worker" in str(error):
            raise OSError(f"A loader process has died ({error}). The same command continues where it was.") from error
        raise


def default_workers(device: torch.device, n_images: int | None, batch_size: int) -> int:
    """Loader processes: none for a single batch, one beside a computing CPU, up to eight beside a GPU."""
    if n_images is not None and n_images <= batch_size:
        return 0
    return 1 if device.type == "cpu" else min(MOST_WORKERS, n_cores())


def _collate(samples: list[tuple[Item, Tensor, str | None]]) -> Batch:
    items, images, errors = zip(*samples, strict=True)
    return Batch(list(items), torch.stack(images), list(errors))
