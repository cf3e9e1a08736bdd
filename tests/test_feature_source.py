"""Frozen features are computed once per image, in groups of a fixed size, whatever a method's batch size."""

from functools import cache

import pytest
import torch
from torch import Tensor

from kdpl.clip.image_encoder import ImageEncoder
from kdpl.clip.openai import openai_towers
from kdpl.distillation.feature_source import FeatureSource
from tests.regression.runs import one_thread
from tests.tiny_clip import CLIP, images, tiny_clip

N = 21  # images: two groups of eight and one that has to be filled up
CPU = torch.device("cpu")


@cache
def encoder(seed: int) -> ImageEncoder:
    return ImageEncoder(openai_towers(tiny_clip(seed=seed), None))


@cache
def pixels() -> Tensor:
    return images(N, tiny_clip())


class Recorded:
    """The image tower of a tiny CLIP, with what it was given, as slow as one for large images."""

    size = 224

    def __init__(self, seed: int = 0):
        self.encoder = encoder(seed)
        self.groups: list[Tensor] = []

    def __call__(self, image: Tensor) -> Tensor:
        self.groups.append(image)
        return self.encoder(image)


def batches(size: int) -> list[dict]:
    """N different images in batches, each with its number and something that is not a tensor."""
    labels = torch.arange(N)
    return [{"img": pixels()[i : i + size], "label": labels[i : i + size], "path": str(i)} for i in range(0, N, size)]


def attached(size: int, **towers) -> list[dict]:
    return list(FeatureSource(towers, CPU).attach(batches(size)))


@pytest.mark.parametrize("size", [1, 3, 4, 32])
def test_features_are_the_same_bits_in_batches_of_any_size(size):
    whole = attached(N, student=Recorded(0), teacher=Recorded(1))[0]
    parts = attached(size, student=Recorded(0), teacher=Recorded(1))
    for name, seed in (("student", 0), ("teacher", 1)):
        features = torch.cat([batch[name] for batch in parts])
        assert torch.equal(features, whole[name])
        torch.testing.assert_close(features, Recorded(seed)(pixels()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 4, 32])
def test_batches_keep_their_order_and_what_else_they_hold(size):
    given, taken = batches(size), attached(size, student=Recorded())
    assert [batch["path"] for batch in taken] == [batch["path"] for batch in given]
    for before, after in zip(given, taken, strict=True):
        assert after.keys() == {"img", "label", "path", "student"}
        assert torch.equal(before["img"], after["img"]) and torch.equal(before["label"], after["label"])
        assert len(after["student"]) == len(after["label"])


@pytest.mark.parametrize("size", [1, 3, 4, 32])
def test_each_image_is_computed_once_and_the_last_group_is_filled_up_with_zeros(size):
    tower = Recorded()
    attached(size, student=tower)
    assert [len(group) for group in tower.groups] == [8, 8, 8]
    seen = torch.cat(tower.groups)
    assert torch.equal(seen[:N], pixels()) and not seen[N:].any()


def test_without_towers_each_batch_passes_before_the_next_one_is_read():
    read = []

    def loader():
        for batch in batches(3):
            read.append(batch["path"])
            yield batch

    for n, batch in enumerate(FeatureSource({}, CPU).attach(loader()), start=1):
        assert batch.keys() == {"img", "label", "path"} and len(read) == n
    assert n == 7


def test_no_more_is_read_ahead_than_fills_a_group():
    read = []

    def loader():
        for batch in batches(3):
            read.append(batch["path"])
            yield batch

    source = FeatureSource({"student": Recorded()}, CPU).attach(loader())
    next(source)
    assert len(read) == 3  # nine images for a group of eight


def test_images_of_a_step_have_the_features_that_reading_ahead_gives():
    source = FeatureSource({"student": Recorded()}, CPU)
    expected = torch.cat([batch["student"] for batch in attached(4, student=Recorded())])
    torch.testing.assert_close(source.compute(pixels()[5:9])["student"], expected[5:9], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [8, 32])
def test_on_one_thread_a_feature_does_not_depend_on_the_place_of_its_image_in_the_group(size):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIP(64, 224, 4, 256, 32, 77, 8, 64, 1, 1).eval().requires_grad_(False)  # kernels of a real ViT's size
    tower = ImageEncoder(openai_towers(model, None))
    group = images(size, model)
    others = torch.cat([group[:1], images(size - 1, model, seed=1)])
    with one_thread():  # several threads split the rows of a group: last bits depend on the position
        expected = tower(group)
        for shift in (1, size - 1):
            assert torch.equal(tower(group.roll(shift, 0)), expected.roll(shift, 0))
        assert torch.equal(tower(others)[0], expected[0])
