"""The datasets against their real split files, and the messages when their folders are incomplete."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from dassl.data.datasets import DATASET_REGISTRY, build_dataset
from dassl.utils import read_image
from yacs.config import CfgNode

import datasets  # noqa: F401  registers them
from tests.tiny_datasets import Tiny, dataset_cfg, make_tiny

CONFIGS = Path(__file__).parents[1] / "configs" / "datasets"


def test_every_dataset_file_names_a_registered_dataset():
    for path in CONFIGS.glob("*.yaml"):
        config = CfgNode.load_cfg(path.read_text())
        assert config.DATASET.NAME in DATASET_REGISTRY.registered_names(), path


def test_without_shots_all_images_are_there_and_the_hash_is_of_the_split_file(tmp_path):
    folder = make_tiny(tmp_path)
    dataset = Tiny(dataset_cfg(tmp_path))
    assert [len(part) for part in (dataset.train_x, dataset.val, dataset.test)] == [30, 25, 10]
    assert dataset.num_classes == 5 and dataset.lab2cname[4] == "class_4"
    assert dataset.split_sha256 == hashlib.sha256((folder / "split_tiny.json").read_bytes()).hexdigest()


def test_an_unknown_dataset_is_an_error_that_lists_the_known():
    with pytest.raises((ValueError, AssertionError), match="Caltech101"):
        build_dataset(dataset_cfg("", "Caltech102"))


@pytest.mark.parametrize(
    "missing", ["", "tiny", "tiny/images", "tiny/split_tiny.json"], ids=["root", "folder", "images", "split"]
)
def test_what_is_missing_is_named_with_the_expected_layout_and_the_setting(tmp_path, missing):
    root = tmp_path / "data"
    make_tiny(root)
    path = root / missing
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(FileNotFoundError) as error:
        Tiny(dataset_cfg(root))
    message = str(error.value)
    assert f"needs {path}, which does not exist" in message
    assert "  tiny/images/\n  tiny/split_tiny.json\n" in message
    assert "DATA=..." in message and "--root" in message


@pytest.fixture(scope="module")
def caltech_root(shared, tmp_path_factory):
    """The complete published split with the few real images in the shared folder; its test list is cut to these."""
    folder = tmp_path_factory.mktemp("data") / "caltech-101"
    folder.mkdir()
    mini = shared / "data" / "mini" / "caltech-101"
    os.symlink(mini / "101_ObjectCategories", folder / "101_ObjectCategories")
    name = "split_zhou_Caltech101.json"
    split = json.loads((shared / "data" / "caltech-101" / name).read_text())
    split["test"] = json.loads((mini / name).read_text())["test"]
    (folder / name).write_text(json.dumps(split))
    return folder.parent


def test_the_published_draw_of_caltech101_loads_with_its_real_images(caltech_root):
    dataset = build_dataset(dataset_cfg(caltech_root, "Caltech101", shots=16))
    assert [len(part) for part in (dataset.train_x, dataset.val, dataset.test)] == [1600, 400, 512]
    assert dataset.num_classes == 100
    halves = [build_dataset(dataset_cfg(caltech_root, "Caltech101", shots=16, subsample=h)) for h in ("base", "new")]
    assert [[len(half.train_x), len(half.val), half.num_classes] for half in halves] == [[800, 200, 50]] * 2
    assert halves[0].classnames + halves[1].classnames == dataset.classnames
    assert {d.impath for half in halves for d in half.test} == {d.impath for d in dataset.test}


def test_the_greyscale_images_of_caltech101_become_rgb(shared):
    images = (shared / "data" / "mini" / "caltech-101" / "101_ObjectCategories" / "car_side").iterdir()
    assert {read_image(path).mode for path in images} == {"RGB"}
