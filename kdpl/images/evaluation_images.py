"""Test images of Dassl's loaders, as bytes that are normalised on the device."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .kept import TEST_IMAGES, kept_or_made
from .pixels import shape_after, split_transform
from .seeded_loader import picture


class EvaluationImages(Dataset):
    """The items of a Dassl dataset; later evaluations may find the images in memory, see :func:`keep_images`.

    Attributes:
        normalise: the part of the transform that runs on the device, see :func:`split_transform`, or None.
    """

    def __init__(self, dataset: Dataset):
        self.items, transform = dataset.data_source, dataset.transform
        self._transform, self.normalise = split_transform(transform)
        self._kept = None
        key = TEST_IMAGES.key([item.impath for item in self.items], transform)
        if self.normalise and key:  # bytes
            self._kept = TEST_IMAGES.group(key, len(self.items), shape_after(self._transform))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, item = kept_or_made(self._kept, index, lambda: self._read(index)), self.items[index]
        return {"img": image, "label": item.label, "domain": item.domain, "impath": item.impath, "index": index}

    def _read(self, index: int) -> Tensor:
        return self._transform(picture(self.items[index].impath))


def evaluation_batches(
    loader: DataLoader, device: torch.device, chosen: Sequence[Sequence[int]] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the batches of a Dassl loader for evaluation, with normalised images on the device.

    Args:
        chosen: the indices of some of the batches; by default all.
    """
    images = EvaluationImages(loader.dataset)
    batches = loader.batch_sampler if chosen is None else chosen
    workers = {"num_workers": loader.num_workers, "pin_memory": loader.pin_memory}
    for batch in DataLoader(images, batch_sampler=batches, **workers):
        image = batch["img"].to(device, non_blocking=True)
        yield batch | {"img": images.normalise(image) if images.normalise else image}
