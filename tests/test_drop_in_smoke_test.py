"""``--smoke-test`` of the drop-in: what it says in a fake checkout, and that it passes in real ones."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.coop_checkout import HOMES, SHIM, contents, copy_of, home, install

TRAIN = """\
import argparse

from dassl.config import get_cfg_default
from dassl.engine import build_trainer
from dassl.utils import set_random_seed

import datasets.caltech101
import trainers.coop


def extend_cfg(cfg):
    cfg.DATASET.SUBSAMPLE_CLASSES = "all"


parser = argparse.ArgumentParser()
for flag in ("--root", "--output-dir", "--trainer", "--dataset-config-file", "--config-file"):
    parser.add_argument(flag)
parser.add_argument("--seed", type=int)
parser.add_argument("opts", nargs=argparse.REMAINDER)
args = parser.parse_args()
cfg = get_cfg_default()
extend_cfg(cfg)
cfg.merge_from_file(args.dataset_config_file)
cfg.merge_from_file(args.config_file)
cfg.DATASET.ROOT, cfg.OUTPUT_DIR, cfg.TRAINER.NAME, cfg.SEED = args.root, args.output_dir, args.trainer, args.seed
cfg.merge_from_list(args.opts)
set_random_seed(cfg.SEED)
build_trainer(cfg).train()
"""
CALTECH101 = """\
import json
import os

from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum


@DATASET_REGISTRY.register()
class Caltech101(DatasetBase):
    def __init__(self, cfg):
        folder = os.path.join(cfg.DATASET.ROOT, "caltech-101")
        with open(os.path.join(folder, "split_zhou_Caltech101.json")) as file:
            split = json.load(file)
        train, val, test = (
            [
                Datum(os.path.join(folder, "101_ObjectCategories", path), label=label, classname=name)
                for path, label, name in split[part]
            ]
            for part in ("train", "val", "test")
        )
        super().__init__(train_x=train, val=val, test=test)
"""


@pytest.fixture
def fake(tmp_path) -> Path:
    """A minimal checkout: a train.py, one dataset, and OpenAI's clip package."""
    coop = tmp_path / "CoOp"
    texts = {
        "train.py": TRAIN,
        "datasets/caltech101.py": CALTECH101,
        "trainers/__init__.py": "",
        "trainers/coop.py": "",
        "configs/trainers/CoOp/rn50.yaml": "",
        "configs/datasets/caltech101.yaml": "DATASET:\n  NAME: Caltech101\n",
    }
    for name, text in texts.items():
        (coop / name).parent.mkdir(parents=True, exist_ok=True)
        (coop / name).write_text(text)
    clip = Path(importlib.util.find_spec("clip").origin).parent
    shutil.copytree(clip, coop / "clip", ignore=shutil.ignore_patterns("__pycache__"))
    return coop


def everything(folder: Path) -> dict[str, bytes]:
    """Every file, compiled ones too."""
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def passed(said: str, checkout: Path) -> bool:
    lines = [line for line in said.splitlines() if "moke test" in line]
    return (
        len(lines) == 1
        and lines[0].startswith("Smoke test passed: CoOp_KDPL trained one epoch")
        and (f"of 48 images correctly in {checkout} (torch " in lines[0])
    )


def test_it_trains_with_the_copied_dassl_and_leaves_nothing_behind(fake):
    said = install(fake, "--apply", "--with-dassl", "--smoke-test", PYTHONPATH="")
    assert passed(said, fake) and "Dassl 0.6.3+kdpl)" in said
    before = everything(fake)
    assert passed(install(fake, "--smoke-test", PYTHONPATH=""), fake)
    assert everything(fake) == before


def test_it_says_what_is_missing(fake):
    before = contents(fake)
    said = install(fake, "--smoke-test", fails=True)
    assert "of our" in said and "files and our lines in its train.py; --apply --smoke-test installs and tests" in said
    assert contents(fake) == before
    install(fake)
    assert f"{fake} lacks our lines in its train.py;" in install(fake, "--smoke-test", fails=True)
    said = install(fake, "--apply", "--smoke-test", fails=True, PYTHONPATH="")
    assert "have no Dassl. Copy a stand-in with --with-dassl" in said


def test_it_shows_the_end_of_the_log_when_training_fails(fake):
    (fake / "trainers/coop.py").write_text("raise RuntimeError('a broken checkout')\n")
    said = install(fake, "--apply", "--with-dassl", "--smoke-test", fails=True, PYTHONPATH="")
    assert "ended with exit code 1; its last lines:" in said and "a broken checkout" in said


def test_a_train_py_that_does_not_train_does_not_pass(fake):
    train = (fake / "train.py").read_text()
    (fake / "train.py").write_text(train.replace("build_trainer(cfg).train()", "print('nothing')"))
    said = install(fake, "--apply", "--with-dassl", "--smoke-test", fails=True, PYTHONPATH="")
    assert "wrote no results.json; its last lines:\nnothing" in said


def test_wrong_features_do_not_pass(fake):
    model = fake / "clip" / "model.py"
    model.write_text(model.read_text() + "\n\nLayerNorm.forward = lambda self, x: -x\n")
    said = install(fake, "--apply", "--with-dassl", "--smoke-test", fails=True, PYTHONPATH="")
    assert "at least 50% of 48 were expected" in said


@pytest.mark.parametrize("name", HOMES)
@pytest.mark.parametrize("engine", ["stock", "ours"])
def test_it_passes_in_a_real_checkout(engine, name, tmp_path):
    checkout = copy_of(home(name), tmp_path / "checkout")
    before = everything(checkout)
    if engine == "stock":
        said = install(checkout, "--apply", "--smoke-test", PYTHONPATH=f"{SHIM}:{home('DASSL_HOME')}")
    else:
        said = install(checkout, "--apply", "--smoke-test", "--with-dassl", PYTHONPATH="")
    assert passed(said, checkout)
    install(checkout, "--remove")
    assert everything(checkout) == before
