"""Frozen features, computed between loader and step in groups of a fixed size."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..clip.image_encoder import FrozenTower

COMPUTING_BATCH = {"cpu": 8}  # images of 224 x 224 pixels per group, by device type
COMPUTING_BATCH_ELSEWHERE = 32  # also the upper limit for smaller images


def computing_batch(device: torch.device, size: int) -> int:
    """Number of images of ``size`` x ``size`` pixels per group: enough to keep the device busy."""
    at_224 = COMPUTING_BATCH.get(device.type, COMPUTING_BATCH_ELSEWHERE)
    return max(at_224, min(COMPUTING_BATCH_ELSEWHERE, at_224 * 224**2 // size**2))


class FeatureSource:
    """Adds the features of frozen towers to each batch.

    The towers process the images of consecutive batches in groups of a fixed size; the last group of an epoch is padded
    with zeros. A feature therefore depends on the image and, in its last bits, on its position in the epoch, but not on
    the method's batch size, and small batches cost no more than large ones.
    """

    def __init__(self, towers: Mapping[str, FrozenTower], device: torch.device):
        self.towers = dict(towers)
        self.device = device
        self.normalise: Callable[[Tensor], Tensor] | None = None  # applied to images that arrive as bytes
        self.computing_batch = computing_batch(device, max((tower.size for tower in towers.values()), default=224))

    def attach(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the same batches, on the device, with their features under the towers' names; reads ahead."""
        waiting: deque[dict[str, Any]] = deque()
        images, features = [], {name: [] for name in self.towers}  # waiting to be computed; waiting to be yielded
        for batch in batches:
            waiting.append(self._to_device(batch))
            images.append(waiting[-1]["img"])
            if sum(map(len, images)) < self.computing_batch and self.towers:
                continue
            images = [self._compute_whole_groups(torch.cat(images), features)]
            yield from self._ready(waiting, features)
        if waiting:
            for name, rows in self.compute(torch.cat(images)).items():
                features[name].append(rows)
            yield from self._ready(waiting, features)

    def compute(self, images: Tensor) -> dict[str, Tensor]:
        """Features (n, width) of images (n, 3, size, size), by the towers' names."""
        size = self.computing_batch
        groups = [_pad(group, size) for group in images.split(size)]
        return {
            name: torch.cat([tower(group) for group in groups])[: len(images)] for name, tower in self.towers.items()
        }

    def _compute_whole_groups(self, images: Tensor, features: dict[str, list[Tensor]]) -> Tensor:
        """Compute features of all complete groups; returns the remaining images."""
        if not self.towers:
            return images[:0]
        n = len(images) // self.computing_batch * self.computing_batch
        for name, rows in self.compute(images[:n]).items():
            features[name].append(rows)
        return images[n:]

    def _ready(self, waiting: deque[dict[str, Any]], features: dict[str, list[Tensor]]) -> Iterator[dict[str, Any]]:
        """Yield the batches whose features are complete."""
        ready = {name: torch.cat(rows) for name, rows in features.items()}
        n_ready = min((len(rows) for rows in ready.values()), default=sum(len(batch["img"]) for batch in waiting))
        start = 0
        while waiting and start + len(waiting[0]["img"]) <= n_ready:
            batch = waiting.popleft()
            stop = start + len(batch["img"])
            yield batch | {name: rows[start:stop] for name, rows in ready.items()}
            start = stop
        for name, rows in ready.items():
            features[name][:] = [rows[start:]]

    def _to_device(self, batch: dict[str, Any]) -> dict[str, Any]:
        moved = {
            key: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }
        return moved | {"img": self.normalise(moved["img"])} if self.normalise and "img" in moved else moved


def _pad(images: Tensor, size: int) -> Tensor:
    """Pad (n, ...) with zeros to (size, ...)."""
    if len(images) == size:
        return images
    return torch.cat([images, images.new_zeros(size - len(images), *images.shape[1:])])
