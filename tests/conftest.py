"""Shared fixtures; importing this makes torchvision, dassl and clip importable."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import compat  # noqa: F401
from kdpl.import_guards import import_clip

import_clip()  # so that tests can import clip without pkg_resources

ROOT = Path(__file__).parents[1]
unpacks = pytest.mark.skipif(
    not hasattr(tarfile, "data_filter"), reason="needs Python 3.10.12, 3.11.4 or newer, which check paths in archives"
)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published splits and draws next to this repository; the test is skipped if it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared (published splits and draws), which is not part of the repository")
    return folder


@pytest.fixture(scope="session")
def run_train() -> Callable[..., subprocess.CompletedProcess]:
    """Run ``train.py`` with these arguments in a separate process, as a user would; returns its output."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *map(str, arguments)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def data(tmp_path) -> Path:
    """A data root with a small Caltech101 of real JPEGs: 4 classes of 6, 5 and 2 images."""
    from .tiny_datasets import tiny_split, write_jpeg  # imports Dassl, which tests of the library do without

    split = tiny_split(n_classes=4)
    folder = tmp_path / "data" / "caltech-101"
    for n, (path, *_) in enumerate(split["train"] + split["val"] + split["test"]):
        write_jpeg(folder / "101_ObjectCategories" / path, n)
    (folder / "split_zhou_Caltech101.json").write_text(json.dumps(split))
    return tmp_path / "data"
