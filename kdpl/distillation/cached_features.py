"""Frozen features from a cache: of augmented training images, and of images in evaluations."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..caching.features import FeatureCache, FeatureSpace, key_of
from ..caching.identity import identify_device, identify_images, identify_transform
from ..clip.image_encoder import FrozenTower
from ..clip.zero_shot import ZeroShotClassifier
from ..images.evaluation_images import evaluation_batches
from ..prompts.prompted_clip import PromptedCLIP
from .feature_source import FeatureSource


class _Image:
    """A training image of the current epoch whose features are being collected."""

    def __init__(self, key: bytes, position: int, features: dict[str, Tensor]):
        self.key, self.position, self.features = key, position, features
        self.pixels: Tensor | None = None


class CachedFeatureSource(FeatureSource):
    """Adds frozen features to each batch, without loading images whose features are in the cache.

    With several threads, the last bits of a feature depend on the image's position in its group, but not on the other
    images of the group. Each image is therefore computed at the position that :class:`FeatureSource` would give it: its
    position in the first epoch with this view, modulo the group size.
    """

    def __init__(
        self,
        towers: Mapping[str, FrozenTower],
        device: torch.device,
        spaces: Mapping[str, FeatureSpace],
        images: Sequence[Any],
        needs_pixels: bool,
    ):
        """
        Args:
            spaces: each tower's features in the cache, by tower name.
            images: identities of the training images.
            needs_pixels: whether the training steps read the images as well.
        """
        super().__init__(towers, device)
        self.spaces = spaces
        self.images = images
        self.needs_pixels = needs_pixels

    def attach(self, batches: DataLoader) -> Iterator[dict[str, Any]]:
        """As :meth:`FeatureSource.attach`, for a loader from :func:`seeded_loader`."""
        size, looked_up = self.computing_batch, deque()
        describe = self._describing(batches)
        batches.batch_sampler.needs_pictures = lambda indices: self._look_up(indices, describe, looked_up)
        waiting, group = deque(), []
        for batch in batches:
            images = looked_up.popleft()
            batch = self._to_device(batch)
            for i, image in enumerate(images):
                image.pixels = batch["img"][i] if "img" in batch else None
            waiting.append((batch, images))
            group += images
            while len(group) >= size:
                self._complete_group(group[:size])
                del group[:size]
            yield from self._ready_batches(waiting)
        self._complete_group(group)
        yield from self._ready_batches(waiting)

    def _describing(self, loader: DataLoader) -> Callable[[int], tuple[bytes, int]]:
        """A function that maps an image's index to the key of its view in this epoch and its position in the group."""
        dataset, epoch = loader.dataset, loader.batch_sampler.epoch
        order = loader.batch_sampler.order(dataset.view(epoch))
        positions = {index: i % self.computing_batch for i, index in enumerate(order)}

        def describe(index: int) -> tuple[bytes, int]:
            seed = dataset.augmentation_seed(epoch, index)
            return key_of(self.images[index], seed, positions[index], self.computing_batch), positions[index]

        return describe

    def _look_up(self, indices: list[int], describe: Callable, looked_up: deque[list[_Image]]) -> bool:
        """Whether a batch needs its pixels; cached features wait in ``looked_up`` until the batch arrives."""
        images = []
        for index in indices:
            key, position = describe(index)
            rows = {name: space.lookup([key])[0] for name, space in self.spaces.items()}
            images.append(_Image(key, position, {name: row for name, row in rows.items() if row is not None}))
        looked_up.append(images)
        return self.needs_pixels or not all(self._is_complete(image) for image in images)

    def _is_complete(self, image: _Image) -> bool:
        return len(image.features) == len(self.towers)

    def _complete_group(self, group: Sequence[_Image]) -> None:
        """Compute the missing features."""
        for name, tower in self.towers.items():
            incomplete = [image for image in group if name not in image.features]
            if not incomplete:
                continue
            rows = self.spaces[name].complete(
                [image.key for image in incomplete],
                lambda missing, tower=tower, incomplete=incomplete: self._compute_at_positions(
                    tower, [incomplete[i] for i in missing]
                ),
            )
            for image, row in zip(incomplete, rows, strict=True):
                image.features[name] = row

    def _compute_at_positions(self, tower: Callable[[Tensor], Tensor], images: list[_Image]) -> Tensor:
        """Features (n, width) of images, each computed at its position; images that share one need separate groups."""
        rows, remaining = {}, dict(enumerate(images))
        while remaining:
            by_position = {image.position: i for i, image in reversed(remaining.items())}
            group = images[0].pixels.new_zeros(self.computing_batch, *images[0].pixels.shape)
            for position, i in by_position.items():
                group[position] = remaining.pop(i).pixels
            features = tower(group)
            rows |= {i: features[position] for position, i in by_position.items()}
        return torch.stack([rows[i] for i in range(len(images))])

    def _ready_batches(self, waiting: deque[tuple[dict[str, Any], list[_Image]]]) -> Iterator[dict[str, Any]]:
        """Yield the batches whose features are complete."""
        while waiting and all(map(self._is_complete, waiting[0][1])):
            batch, images = waiting.popleft()
            features = {name: torch.stack([image.features[name] for image in images]) for name in self.towers}
            yield batch | self._to_device(features)


def feature_source(
    towers: Mapping[str, FrozenTower],
    device: torch.device,
    loader: DataLoader | None = None,
    cache: FeatureCache | None = None,
    root: str | None = None,
    needs_pixels: bool = True,
) -> FeatureSource:
    """The source of frozen features for a loader, using the cache if possible.

    Without a cache, the features of views that repeat are still kept in memory.

    Args:
        cache: skipped, with a notice, for images that are not files and transforms that cannot be identified.
        root: folder of the dataset, see :func:`identify_images`.
        needs_pixels: whether the training steps read the images as well.
    """
    views = loader.dataset.views if loader is not None else 0
    if towers and (cache is not None or views):
        images, transform = identify_images(loader.dataset.images, root), identify_transform(loader.dataset.transform)
        if cache is not None and (images is None or transform is None):
            what = "images that are not files" if images is None else f"the transform {loader.dataset.transform!r}"
            print(f"The feature cache is not used, because it cannot identify {what}.")
            cache = None
        if cache is None and views:
            cache, images = FeatureCache(), range(len(loader.dataset))
        if cache is not None:
            common = {"input": transform, **identify_device(device)}
            spaces = {name: cache.space({"tower": tower.identity, **common}) for name, tower in towers.items()}
            return CachedFeatureSource(towers, device, spaces, images, needs_pixels)
    return FeatureSource(towers, device)


def evaluation_features(
    tower: FrozenTower,
    device: torch.device,
    cache: FeatureCache | None,
    paths: Sequence[Any],
    transform: Callable,
    batches: Sequence[Sequence[int]],
    load: Callable[[list[Sequence[int]]], Iterable[Tensor]],
    root: str | None = None,
) -> Iterator[Tensor]:
    """Yield the features (n, width) of each batch, on the device, as computed from the whole batch.

    Args:
        cache: skipped for images that are not files and transforms that cannot be identified.
        paths, transform: of all images.
        batches: indices of images.
        load: returns the images of some of the batches, in order; called once, for batches that are not in the cache.
        root: folder of the dataset, see :func:`identify_images`.
    """
    images, described = identify_images(paths, root), identify_transform(transform)
    if cache is None or images is None or described is None:
        yield from (tower(image.to(device)) for image in load(list(batches)))
        return
    space = cache.space({"tower": tower.identity, "input": described, **identify_device(device)})
    keys = [[key_of(images[i], None, position, len(batch)) for position, i in enumerate(batch)] for batch in batches]
    cached = [space.lookup(batch_keys) for batch_keys in keys]
    complete = [all(row is not None for row in rows) for rows in cached]
    loaded = iter(load([batch for batch, is_complete in zip(batches, complete, strict=True) if not is_complete]))
    for batch_keys, rows, is_complete in zip(keys, cached, complete, strict=True):
        if is_complete:
            yield torch.stack(rows).to(device)
            continue
        image = next(loaded)
        yield space.complete(batch_keys, lambda missing, image=image: tower(image.to(device))[missing]).to(device)


def cached_predictions(
    model: PromptedCLIP | ZeroShotClassifier, device: torch.device, cache: FeatureCache, loader: DataLoader, root: str
) -> Iterator[tuple[list[str], Tensor, Tensor]]:
    """Yield paths, labels (batch,) and logits (batch, n_cls) for each batch of a Dassl loader.

    Images are read only if the cache lacks their features.
    """
    dataset = loader.dataset
    items, batches = dataset.data_source, [list(batch) for batch in loader.batch_sampler]

    def load(chosen: list[list[int]]) -> Iterator[Tensor]:
        if chosen:
            yield from (batch["img"] for batch in evaluation_batches(loader, device, chosen))

    paths, tower = [item.impath for item in items], model.evaluation_tower
    features = evaluation_features(tower, device, cache, paths, dataset.transform, batches, load, root)
    for batch, image_features in zip(batches, features, strict=True):
        label = torch.tensor([items[i].label for i in batch], device=device)
        yield [paths[i] for i in batch], label, model.logits(image_features)
