"""Datasets, transforms, samplers and loaders."""

import pickle
import random

import pytest
import torch
from PIL import Image

import compat  # noqa: F401

# isort: split
from dassl.config import get_cfg_default
from dassl.data import DataManager, DatasetWrapper
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum, build_dataset
from dassl.data.samplers import build_sampler
from dassl.data.transforms import build_transform

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


@pytest.fixture
def images(tmp_path):
    """Nine JPEGs, 40 x 30 pixels, three of each colour; even ones of domain 0."""
    items = []
    for i in range(9):
        path = tmp_path / f"{i}.jpg"
        Image.new("RGB", (40, 30), COLOURS[i % 3]).save(path)
        items.append(Datum(str(path), label=i % 3, domain=i % 2, classname=f"colour {i % 3}"))
    return items


@pytest.fixture
def cfg(images, monkeypatch):
    """A configuration for a registered dataset of these images."""

    class Colours(DatasetBase):
        def __init__(self, cfg):
            super().__init__(train_x=images, val=images[:2], test=images[2:])

    monkeypatch.setattr(DATASET_REGISTRY, "_entries", {"Colours": Colours})
    cfg = get_cfg_default()
    cfg.merge_from_list(["DATASET.NAME", "Colours", "DATALOADER.NUM_WORKERS", 0, "INPUT.SIZE", (16, 16)])
    return cfg


def test_a_missing_image_is_named_when_the_dataset_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.jpg"):
        Datum(str(tmp_path / "gone.jpg"))


def test_few_shot_choices_are_pickled_under_the_names_of_stock_dassl(images):
    datum = images[1]
    state = {"_impath": datum.impath, "_label": 1, "_domain": 1, "_classname": "colour 1"}
    assert datum.__getstate__() == state
    assert vars(pickle.loads(pickle.dumps(datum))) == vars(datum)


def test_classes_come_from_the_training_images(images):
    dataset = DatasetBase(train_x=images, test=images[:1])
    assert dataset.num_classes == 3
    assert dataset.lab2cname == {0: "colour 0", 1: "colour 1", 2: "colour 2"}
    assert dataset.classnames == ["colour 0", "colour 1", "colour 2"]
    with pytest.raises(ValueError, match="no training images"):
        DatasetBase(train_x=[], test=images)


def test_few_shots_are_drawn_class_by_class(images):
    dataset = DatasetBase(train_x=images, test=images)
    random.seed(4)
    drawn = dataset.generate_fewshot_dataset(images, num_shots=2)
    random.seed(4)
    expected = [item for label in range(3) for item in random.sample(images[label::3], 2)]
    assert drawn == expected
    assert dataset.generate_fewshot_dataset(images, images[:3], num_shots=5) == [
        images[0::3] + images[1::3] + images[2::3],
        images[:3],
    ]
    repeated = dataset.generate_fewshot_dataset(images, num_shots=5, repeat=True)
    assert [item.label for item in repeated] == [0] * 5 + [1] * 5 + [2] * 5
    assert dataset.generate_fewshot_dataset(images, num_shots=-1) is images


def test_an_unknown_dataset_is_refused_with_what_exists(cfg):
    cfg.DATASET.NAME = "Colors"
    with pytest.raises(ValueError, match=r"'Colors' does not exist; available are \['Colours'\].*mean 'Colours'"):
        build_dataset(cfg)


def test_the_transforms_of_coop_in_dassls_order(cfg, capsys):
    cfg.INPUT.TRANSFORMS = ("normalize", "random_flip", "random_resized_crop")
    cfg.INPUT.INTERPOLATION = "bicubic"
    names = [type(step).__name__ for step in build_transform(cfg, is_train=True).transforms]
    assert names == ["RandomResizedCrop", "RandomHorizontalFlip", "ToTensor", "Normalize"]
    names = [type(step).__name__ for step in build_transform(cfg, is_train=False).transforms]
    assert names == ["Resize", "CenterCrop", "ToTensor", "Normalize"]
    assert capsys.readouterr().out.splitlines()[:3] == [
        "Building transform_train",
        "+ random resized crop (size=(16, 16), scale=(0.08, 1.0))",
        "+ random flip",
    ]


def test_a_test_image_is_resized_by_its_shorter_side_and_cropped(cfg):
    image = Image.new("RGB", (80, 40), (255, 255, 255))  # to 32 x 16; black beyond the central square
    image.paste((0, 0, 0), (0, 0, 18, 40))
    image.paste((0, 0, 0), (62, 0, 80, 40))
    tensor = build_transform(cfg, is_train=False)(image)
    assert tensor.shape == (3, 16, 16)
    assert tensor[:, :, 1:-1].min() == 1.0


def test_every_transform_name_works(cfg):
    cfg.INPUT.TRANSFORMS = (
        "random_flip random_crop imagenet_policy cifar10_policy svhn_policy randaugment colorjitter randomgrayscale "
        "gaussian_blur normalize center_crop"
    ).split()
    tensor = build_transform(cfg)(Image.new("RGB", (16, 16), (90, 120, 150)))
    assert tensor.shape == (3, 16, 16)


def test_unknown_transform_and_interpolation_are_refused_with_what_exists(cfg):
    with pytest.raises(ValueError, match="'mixup'.*'random_flip'"):
        build_transform(cfg, choices=["mixup"])
    cfg.INPUT.INTERPOLATION = "lanczos"
    with pytest.raises(ValueError, match="'lanczos'.*'bicubic'"):
        build_transform(cfg)


def test_items_of_the_wrapper(cfg, images):
    cfg.INPUT.TRANSFORMS = ("normalize",)
    item = DatasetWrapper(cfg, images, transform=build_transform(cfg), is_train=True)[4]
    assert {key: item[key] for key in ("label", "domain", "impath", "index")} == {
        "label": 1,
        "domain": 0,
        "impath": images[4].impath,
        "index": 4,
    }
    assert item["img"].shape == (3, 16, 16) and set(item) == {"label", "domain", "impath", "index", "img"}


def test_several_versions_of_an_image(cfg, images):
    cfg.DATALOADER.K_TRANSFORMS = 2
    cfg.DATALOADER.RETURN_IMG0 = True
    transforms = [build_transform(cfg), build_transform(cfg, choices=["normalize"])]
    item = DatasetWrapper(cfg, images, transform=transforms, is_train=True)[0]
    assert len(item["img"]) == len(item["img2"]) == 2
    assert float(item["img2"][0].mean()) < 0 < float(item["img"][0].mean())
    assert torch.equal(item["img0"], item["img"][0])  # only resized
    assert DatasetWrapper(cfg, images, transform=transforms)[0]["img"].shape == (3, 16, 16)  # one version at test


@pytest.mark.parametrize(("batch_size", "n_batches"), [(4, 2), (9, 1), (10, 1)])
def test_training_drops_a_partial_batch_unless_it_is_the_only_one(cfg, batch_size, n_batches):
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = batch_size
    batches = list(DataManager(cfg).train_loader_x)
    assert len(batches) == n_batches
    assert {len(batch["label"]) for batch in batches} == {min(batch_size, 9)}


def test_test_batches_are_complete_and_in_order(cfg):
    cfg.DATALOADER.TEST.BATCH_SIZE = 3
    manager = DataManager(cfg)
    assert [batch["index"].tolist() for batch in manager.test_loader] == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(manager.val_loader.dataset) == 2 and manager.train_loader_u is None
    assert (manager.num_classes, manager.lab2cname[2]) == (3, "colour 2")


def test_the_summary_table(cfg, capsys):
    DataManager(cfg)
    table = capsys.readouterr().out
    for row in ("Dataset    Colours", "# classes  3", "# train_x  9", "# val      2", "# test     7"):
        assert row in table


def test_an_unknown_sampler_is_refused_with_what_exists():
    with pytest.raises(ValueError, match="'RandomDomainSampler'.*'RandomSampler'"):
        build_sampler("RandomDomainSampler", data_source=[])
