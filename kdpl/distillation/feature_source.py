"""Frozen features between loader and step, computed ahead in batches of one size."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

COMPUTING_BATCH = {"cpu": 8}  # images, by kind of device
COMPUTING_BATCH_ELSEWHERE = 32


class FeatureSource:
    """Gives each batch the features of frozen towers.

    The towers see the images of consecutive batches in groups of one fixed size, the last one of an epoch filled up
    with zeros. So a feature depends on the image and, in its last bits, on its place in the epoch, not on the batch
    size of the method, and small batches cost no more than large ones.
    """

    def __init__(self, towers: Mapping[str, Callable[[Tensor], Tensor]], device: torch.device):
        """
        Args:
            towers: name -> function of images (n, 3, size, size) that returns features (n, width).
        """
        self.towers = dict(towers)
        self.device = device
        self.normalise: Callable[[Tensor], Tensor] | None = None  # of images that come as bytes
        self.computing_batch = COMPUTING_BATCH.get(device.type, COMPUTING_BATCH_ELSEWHERE)

    def attach(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same batches, on the device, each with its features under the towers' names; reads ahead."""
        waiting: deque[dict[str, Any]] = deque()
        images, features = [], {name: [] for name in self.towers}  # not computed yet; not given out yet
        for batch in batches:
            waiting.append(self._to_device(batch))
            images.append(waiting[-1]["img"])
            if sum(map(len, images)) < self.computing_batch and self.towers:
                continue
            images = [self._compute_whole_groups(torch.cat(images), features)]
            yield from self._complete(waiting, features)
        if waiting:
            for name, rows in self.compute(torch.cat(images)).items():
                features[name].append(rows)
            yield from self._complete(waiting, features)

    def compute(self, images: Tensor) -> dict[str, Tensor]:
        """Features (n, width) of images (n, 3, size, size), by the towers' names."""
        size = self.computing_batch
        groups = [_filled_up(group, size) for group in images.split(size)]
        return {
            name: torch.cat([tower(group) for group in groups])[: len(images)] for name, tower in self.towers.items()
        }

    def _compute_whole_groups(self, images: Tensor, features: dict[str, list[Tensor]]) -> Tensor:
        """Compute as many images as make whole groups; returns the rest."""
        if not self.towers:
            return images[:0]
        n = len(images) // self.computing_batch * self.computing_batch
        for name, rows in self.compute(images[:n]).items():
            features[name].append(rows)
        return images[n:]

    def _complete(self, waiting: deque[dict[str, Any]], features: dict[str, list[Tensor]]) -> Iterator[dict[str, Any]]:
        """Give out the batches whose features are all there."""
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


def _filled_up(images: Tensor, size: int) -> Tensor:
    """(n, ...) with zeros up to (size, ...)."""
    if len(images) == size:
        return images
    return torch.cat([images, images.new_zeros(size - len(images), *images.shape[1:])])
