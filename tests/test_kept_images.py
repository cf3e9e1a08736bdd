"""Transformed images kept in memory: the same bits, read and transformed once, never more than the limit."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from dassl.data import DataManager
from torchvision.transforms import Compose, Normalize, RandomResizedCrop, ToTensor

import kdpl
from kdpl.clip.towers import OPENAI_MEAN, OPENAI_STD
from kdpl.images import evaluation_images, kept, seeded_loader
from kdpl.images.kept import TEST_IMAGES, TRAINING_VIEWS, ImageMemory, KeptImages, keep_images, kept_or_made
from tests.small_sweep import small_spec, write_root
from tests.test_feature_cache import same
from tests.tiny_datasets import dataset_cfg, write_jpeg
from tools.sweep.plan import plan
from tools.sweep.spec import parse_spec
from tools.sweep.work import do

TRANSFORM = Compose([RandomResizedCrop(16), ToTensor(), Normalize(OPENAI_MEAN, OPENAI_STD)])
SHAPE = (3, 16, 16)


@pytest.fixture
def photos(tmp_path):
    return [str(write_jpeg(tmp_path / "photos" / f"{i}.jpg", i)) for i in range(6)]


@pytest.fixture
def read(tmp_path, monkeypatch):
    """A function that returns the images read since its last call, in this process and in workers."""
    log, picture = tmp_path / "read", seeded_loader.picture
    log.touch()

    def noting(item):
        with open(log, "a") as file:
            file.write(f"{item}\n")
        return picture(item)

    for module in (seeded_loader, evaluation_images):
        monkeypatch.setattr(module, "picture", noting)

    def since_last_call():
        found = log.read_text().split()
        os.truncate(log, 0)
        return sorted(os.path.relpath(path, tmp_path) for path in found)

    return since_last_call


@pytest.fixture
def more_runs():
    """As in a process of a sweep, which has more runs to come."""
    keep_images()
    yield
    forget()


def forget():
    for memory in (TRAINING_VIEWS, TEST_IMAGES):
        memory.__init__()


def batches(photos, n_epochs=3, workers=0, seed=1, views=0):
    loader = seeded_loader.seeded_loader(photos, TRANSFORM, 3, workers, seed, pin_memory=False, views=views)
    loader.dataset.keep_views(n_epochs)
    found = []
    for loader.batch_sampler.epoch in range(n_epochs):
        found += [batch["img"] for batch in loader]
    return torch.stack(found)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_run_reads_no_image_and_sees_the_same(workers, photos, read, more_runs):
    first = batches(photos, workers=workers)
    assert set(read()) == {f"photos/{i}.jpg" for i in range(6)}
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(batches(photos, workers=workers), first) and read() == []
    assert workers or torch.equal(torch.rand(1), expected)  # without touching global random numbers
    assert torch.equal(batches(photos, 4)[:6], first) and len(read()) == 6  # only the fourth epoch


def test_other_seeds_and_changed_files_are_read(photos, read, more_runs):
    first = batches(photos)
    assert not torch.equal(batches(photos, seed=2), first)
    write_jpeg(Path(photos[0]), 99)
    read()
    assert not torch.equal(batches(photos), first) and "photos/0.jpg" in read()


def test_a_single_run_keeps_nothing(photos, read):
    batches(photos)
    read()
    batches(photos)
    assert len(read()) == 6
    assert not TRAINING_VIEWS._groups


@pytest.mark.parametrize("source", ["files", "pictures"])
def test_views_that_repeat_are_transformed_once(source, photos, monkeypatch):
    images = photos if source == "files" else [seeded_loader.picture(photo) for photo in photos]
    expected = batches(images, n_epochs=2)
    made, augmented = [], seeded_loader.SeededImages._augmented
    monkeypatch.setattr(
        seeded_loader.SeededImages, "_augmented", lambda self, *view: made.append(view) or augmented(self, *view)
    )
    found = batches(images, n_epochs=4, views=2)
    assert len(made) == len(set(made)) == 12
    order = seeded_loader.EpochBatches(6, 3, seed=1).order
    by_image = lambda batch, epoch: batch.flatten(0, 1)[torch.tensor(order(epoch)).argsort()]  # noqa: E731
    for epoch in range(4):
        repeated, first = by_image(found[2 * epoch :][:2], epoch), by_image(expected[2 * (epoch % 2) :][:2], epoch % 2)
        assert torch.equal(repeated, first)


def test_training_with_kept_images_gives_the_same_prompts(photos, read, more_runs):
    options = {"student": "demo:student", "teacher": "demo:teacher", "device": "cpu", "progress": False}
    options |= {"epochs": 2, "batch_size": 3, "seed": 4, "method": "MaPLe"}

    def learned():
        return kdpl.distill(photos, ["red circle", "blue square"], **options).model.prompt_learner.state_dict()

    first = learned()
    assert len(read()) == 6
    assert same(learned(), first) and read() == []


def test_the_second_run_of_a_sweep_process_reads_no_image(tmp_path, read, more_runs):
    root = write_root(tmp_path)
    spec = small_spec(root, **{"DATALOADER.NUM_WORKERS": 2}) | {"protocol": "base2new", "datasets": "eurosat"}
    del spec["source"]
    spec |= {"students": {str(root / "student.safetensors"): ["VPT", "MaPLe"]}, "settings": ["labels"]}
    spec["epochs"] = {"VPT": 2, "MaPLe": 2}
    results = []
    for n_processes in (2, 0):  # 0: a process that does only one run
        output = tmp_path / f"output{n_processes}"
        first, second = plan(parse_spec(spec), root, output)
        assert do(first, n_processes) == 0
        seen = read()
        assert sum("/train_" in path for path in seen) == 2 * 2 and sum("/test_" in path for path in seen) == 4 * 3
        assert do(second, n_processes) == 0
        assert read() == ([] if n_processes else seen)
        results.append({
            file.relative_to(output): (record["prompts_sha256"], record["evaluations"])
            for file in output.rglob("results.json") for record in [json.loads(file.read_text())]
        })  # fmt: skip
        forget()
    assert results[0] == results[1] and len(results[0]) == 2 * 4


@pytest.mark.parametrize("transforms", [("normalize",), ()])
def test_test_images_have_the_bits_of_dassls_own_loader(transforms, tmp_path):
    cfg = dataset_cfg(write_root(tmp_path), "EuroSAT")
    cfg.INPUT.SIZE, cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD = (32, 32), OPENAI_MEAN, OPENAI_STD
    cfg.INPUT.INTERPOLATION, cfg.INPUT.TRANSFORMS = "bicubic", transforms
    cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.TEST.BATCH_SIZE = 2, 5
    loader = DataManager(cfg).test_loader
    found = list(evaluation_images.evaluation_batches(loader, torch.device("cpu")))
    for ours, dassls in zip(found, loader, strict=True):
        assert torch.equal(ours["img"], dassls["img"]) and torch.equal(ours["label"], dassls["label"])
        assert ours["impath"] == dassls["impath"]
    (second,) = evaluation_images.evaluation_batches(loader, torch.device("cpu"), [[3, 1]])
    assert second["impath"] == [found[0]["impath"][i] for i in (3, 1)]


def test_the_memory_keeps_its_limit_and_frees_the_images_of_other_folders():
    memory = ImageMemory(2 * kept.size_of(2, SHAPE))

    def group(folder, seed):
        return memory.group((folder, seed), 2, SHAPE)

    first, second = group("dtd", 1), group("dtd", 2)
    assert first and second and group("dtd", 3) is None
    memory.next_run()
    assert group("dtd", 1) is first and group("dtd", 3) is None  # otherwise seeds in turn would find nothing
    memory.next_run()
    assert group("eurosat", 1) is None
    memory.next_run()
    assert group("eurosat", 1) and group("dtd", 1) is not first


def test_images_of_another_shape_are_not_kept():
    images = KeptImages(1, SHAPE)
    other = torch.ones(3, 8, 8, dtype=torch.uint8)
    assert kept_or_made(images, 0, lambda: other) is other
    assert kept_or_made(images, 0, lambda: 2 * other)[0, 0, 0] == 2
    assert pickle.loads(pickle.dumps(images)) is None
