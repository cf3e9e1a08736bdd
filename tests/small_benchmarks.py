"""Small stand-ins for the benchmarks, and `python -m tools.data` on them."""

import json
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

import datasets  # noqa: F401  registers them
from tests.tiny_datasets import write_jpeg
from tools.data import __main__ as tool
from tools.data import fetching

ROOT = Path(__file__).parents[1]


def small(name, monkeypatch, **facts):
    """A benchmark of a few images: its published counts are lowered for the test."""
    dataset = DATASET_REGISTRY.get(name)
    for key, value in facts.items():
        monkeypatch.setattr(dataset, key, value)
    return dataset


def run(*arguments):
    """Exit code of the tool in this process."""
    return tool.main([str(argument) for argument in arguments])


SPLIT = {
    "train": [["banded/banded_1.jpg", 0, "banded"], ["dotted/dotted_1.jpg", 1, "dotted"]],
    "val": [["banded/banded_2.jpg", 0, "banded"]],
    "test": [["dotted/dotted_2.jpg", 1, "dotted"]],
}


def make_dtd(folder, images="images", split=True):
    for path, *_ in [entry for part in SPLIT.values() for entry in part]:
        write_jpeg(folder / images / path)
    if split:
        (folder / "split_zhou_DescribableTextures.json").write_text(json.dumps(SPLIT))


def files_below(folder):
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return files - {fetching.LOCK}


IDS = ["n01440764", "n01443537", "n01484850"]
CLASSNAMES = "n01440764 tench\nn01443537 goldfish\nn01484850 great white shark\n"
SORTED = {f"images/val/{IDS[k]}/ILSVRC2012_val_{n:08}.JPEG" for n, k in ((1, 2), (2, 0), (3, 1))}
