"""Order and augmentation of the training images depend on (seed, epoch, image) alone."""

import pickle
import random
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor

from kdpl.clip import device
from kdpl.clip.towers import OPENAI_MEAN, OPENAI_STD
from kdpl.distillation.feature_source import FeatureSource
from kdpl.images.decoded import DecodedImages
from kdpl.images.seeded_loader import EpochBatches, SeededImages, picture, seeded_loader

TRANSFORM = Compose([RandomResizedCrop(16), RandomHorizontalFlip(), ToTensor()])


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    found = []
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(folder / f"{i}.jpg")
        found.append(str(folder / f"{i}.jpg"))
    return found


def epoch(loader, number):
    loader.batch_sampler.epoch = number
    return [(batch["index"].tolist(), batch["img"]) for batch in loader]


def same(a, b):
    return all(i == j and torch.equal(x, y) for (i, x), (j, y) in zip(a, b, strict=True))


def loader(items, seed=1, workers=0, batch_size=3):
    return seeded_loader(items, TRANSFORM, batch_size, workers, seed, pin_memory=False)


def test_an_epoch_is_the_same_whatever_was_drawn_before(items):
    first = loader(items)
    epoch(first, 0)
    torch.rand(5), random.random()
    assert same(epoch(first, 1), epoch(loader(items), 1))


def test_epochs_seeds_and_images_differ(items):
    one = loader(items)
    assert not same(epoch(one, 0), epoch(one, 1))
    assert not same(epoch(one, 0), epoch(loader(items, seed=2), 0))
    images = SeededImages([items[0], items[0]], TRANSFORM, seed=1)
    assert not torch.equal(images[0, 0]["img"], images[0, 1]["img"])


def test_the_number_of_workers_does_not_matter(items):
    assert same(epoch(loader(items, workers=2), 4), epoch(loader(items), 4))


def test_global_random_numbers_are_not_touched(items):
    torch.manual_seed(0)
    random.seed(0)
    expected = torch.rand(1).item(), random.random()
    torch.manual_seed(0)
    random.seed(0)
    epoch(loader(items), 0)
    assert (torch.rand(1).item(), random.random()) == expected


@pytest.mark.parametrize("n_items, batch_size, sizes", [(7, 3, [3, 3]), (6, 3, [3, 3]), (2, 3, [2])])
def test_the_last_partial_batch_is_dropped_unless_it_is_the_only_one(n_items, batch_size, sizes):
    batches = EpochBatches(n_items, batch_size, seed=0)
    assert [len(batch) for batch in batches] == sizes and len(batches) == len(sizes)
    seen = [index for batch in batches for _, index in batch]
    assert len(set(seen)) == len(seen)


def test_an_image_is_decoded_once_while_memory_allows(items, monkeypatch):
    reads = []
    monkeypatch.setattr(
        "kdpl.images.seeded_loader.read_image", lambda path: reads.append(path) or Image.open(path).convert("RGB")
    )
    images = SeededImages(items, TRANSFORM, seed=1, cache_bytes=2 * 30 * 30 * 3)
    for e in range(3):
        for i in range(3):
            images[e, i]
    assert [reads.count(item) for item in items[:3]] == [1, 1, 3]


def test_what_one_worker_has_decoded_the_others_need_not_decode_again(items, monkeypatch, tmp_path):
    def read(path):
        with open(tmp_path / "reads", "a") as log:  # workers are other processes
            log.write(f"{path}\n")
        return Image.open(path).convert("RGB")

    monkeypatch.setattr("kdpl.images.seeded_loader.read_image", read)
    images = loader(items, workers=2, batch_size=1)
    first = [epoch(images, number) for number in range(4)]  # each image comes to both workers
    reads = (tmp_path / "reads").read_text().split()
    assert sorted(reads) == sorted(items)
    assert all(same(found, epoch(loader(items, batch_size=1), number)) for number, found in enumerate(first))


def test_workers_begin_with_the_next_epoch_before_this_one_is_over(items, tmp_path):
    def noting(picture):
        with open(tmp_path / "made", "a") as log:
            log.write("x")
        return TRANSFORM(picture)

    def n_made(at_least):
        deadline = time.monotonic() + 20
        while (tmp_path / "made").stat().st_size < at_least and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        return (tmp_path / "made").stat().st_size

    images = seeded_loader(items, noting, 3, 1, 1, pin_memory=False)
    images.n_epochs = 2
    made = []
    for number in range(2):
        images.batch_sampler.epoch = number
        found = []
        for batch in images:
            found.append((batch["index"].tolist(), batch["img"]))
            if len(found) == 2:  # the last of an epoch, not yet given back
                made.append(n_made(at_least=12))
        assert same(found, epoch(loader(items), number))
    assert made == [12, 12]  # both batches of the second epoch; after it none
    assert same(epoch(images, 5), epoch(loader(items), 5))  # any other epoch, too


def test_an_epoch_that_was_begun_and_is_not_wanted_is_left(items):
    images = loader(items, workers=2)
    images.n_epochs = 9
    assert same(epoch(images, 0), epoch(loader(items), 0))
    assert same(epoch(images, 4), epoch(loader(items), 4))


def test_images_that_start_elsewhere_have_a_store_of_their_own():
    store = DecodedImages(n_images=2, n_bytes=100)
    store.put(0, Image.new("RGB", (5, 5), "blue"))
    other = pickle.loads(pickle.dumps(store))
    assert other.get(0) is None and store.get(0).getpixel((4, 4)) == (0, 0, 255)


@pytest.mark.parametrize("end", [[ToTensor(), Normalize(OPENAI_MEAN, OPENAI_STD)], [ToTensor()]])
def test_pixels_that_are_normalised_on_the_device_have_the_same_bits(end, items):
    transform = Compose([RandomResizedCrop(16), RandomHorizontalFlip(), *end])
    images = seeded_loader(items, transform, 7, 0, seed=1, pin_memory=False)
    (batch,) = images
    assert batch["img"].dtype == (torch.uint8 if len(end) == 2 else torch.float32)
    source = FeatureSource({}, torch.device("cpu"))
    source.normalise = images.dataset.normalise
    (found,) = source.attach([batch])
    for index, image in zip(batch["index"].tolist(), found["img"], strict=True):
        torch.manual_seed(images.dataset.augmentation_seed(0, index))
        assert torch.equal(image, transform(Image.open(items[index]).convert("RGB")))
    assert repr(images.dataset.transform) == repr(transform)  # part of the keys of cached features


def test_facts_are_handed_out_with_their_images(items):
    facts = [{"label": i % 2, "impath": path} for i, path in enumerate(items)]
    batch = next(iter(seeded_loader(items, TRANSFORM, 3, 0, seed=1, pin_memory=False, facts=facts)))
    assert batch["impath"] == [items[i] for i in batch["index"]]
    assert torch.equal(batch["label"], batch["index"] % 2)
    assert epoch(loader(items), 0)[0][0] == batch["index"].tolist()  # nothing else changes


def test_images_may_be_those_of_a_torch_dataset(items):
    pictures = [(Image.open(path), "a label that nobody reads") for path in items]
    assert same(epoch(loader(pictures), 0), epoch(loader(items), 0))
    with pytest.raises(TypeError, match="paths or a dataset of PIL images; got a int"):
        epoch(loader([1, 2, 3]), 0)


def test_the_images_of_all_workers_take_a_quarter_of_the_memory(items, monkeypatch):
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}.get)  # 4 GiB
    assert loader(items, workers=2).dataset.decoded.n_bytes == loader(items).dataset.decoded.n_bytes == 2**30


@pytest.mark.parametrize(
    "membership, file",
    [
        ("0::/user/job/step_0", "user/job/memory.max"),
        ("12:cpu:/job\n4:memory:/job/step_0\n0::/", "memory/job/memory.limit_in_bytes"),
        ("4:memory:/seen/from/outside", "memory/memory.limit_in_bytes"),  # the file of the container itself
    ],
)
def test_the_limit_of_a_container_or_cluster_job_counts(membership, file, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}.get)  # 4 GiB
    monkeypatch.setattr(device, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(device, "CONTROL_GROUPS", tmp_path)
    assert device.machine_memory() == 4 * 2**30  # not on Linux
    (tmp_path / "membership").write_text(membership)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "memory.max").write_text("max\n")
    assert device.machine_memory() == 4 * 2**30
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(f"{2**30}\n")
    assert device.machine_memory() == 2**30


@pytest.mark.parametrize("name, mode", [("grey.png", "<u2"), ("grey.tif", "<u2"), ("swapped.tif", ">u2")])
def test_grey_levels_of_16_bits_are_scaled(name, mode, tmp_path):
    levels = np.array([[0, 255, 256, 0x8000, 0xFFFF]], dtype=mode)
    image = Image.fromarray(levels)
    image.save(path := tmp_path / name)
    for source in (path, image, Image.open(path)):
        assert np.asarray(picture(source))[0].tolist() == [[level] * 3 for level in (0, 0, 1, 128, 255)]


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="no training images"):
        loader([])
