"""Few-shot draws published by others: used unchanged, and refused if they do not fit the split."""

import json
from pathlib import Path

import pytest

import train
from tests.tiny_datasets import Tiny, dataset_cfg, make_tiny

from .conftest import ROOT


def line(path: str, label: int, **keys: object) -> str:
    """A line in the form of 2SFS."""
    entry = {"_impath": path, "_label": label, "_domain": 0, "_classname": f"class_{label}"}
    return json.dumps(entry | keys) + "\n"


def write_draw(folder: Path, elsewhere: str = "", n_classes: int = 4, shots: int = 2) -> None:
    """The last images of each class, which our own draw would not all be, in descending order of labels."""
    (folder / "split_fewshot").mkdir(exist_ok=True)
    for part, last in (("train", 5), ("val", 4)):
        images = [(c, last - i) for c in reversed(range(n_classes)) for i in range(shots)]
        lines = [line(f"{elsewhere}class_{c}/{part}_{i}.jpg", c) for c, i in images]
        (folder / "split_fewshot" / f"shot_{shots}-seed_1_{part}.jsonl").write_text("".join(lines))


def tiny(root: Path, draw: str, **settings: object) -> Tiny:
    cfg = dataset_cfg(root, shots=settings.pop("shots", 2), **settings)
    cfg.DATASET.DRAW = draw
    return Tiny(cfg)


def paths(data: list) -> list[str]:
    return ["/".join(Path(datum.impath).parts[-2:]) for datum in data]


@pytest.mark.parametrize("elsewhere", ["", "/home/somebody/DATA/tiny/images/", "./data/tiny/images/"])
@pytest.mark.parametrize("draw", ["2SFS", "split_fewshot/shot_{shots}-seed_{seed}_{part}.jsonl"])
def test_a_published_draw_takes_the_place_of_our_own(tmp_path, elsewhere, draw):
    write_draw(make_tiny(tmp_path), elsewhere, n_classes=5)
    dataset = tiny(tmp_path, draw)
    assert paths(dataset.train_x) == [f"class_{c}/train_{i}.jpg" for c in (4, 3, 2, 1, 0) for i in (5, 4)]
    assert paths(dataset.val) == [f"class_{c}/val_{i}.jpg" for c in (4, 3, 2, 1, 0) for i in (4, 3)]
    assert len(dataset.test) == 10 and dataset.classnames == [f"class_{c}" for c in range(5)]
    new = tiny(tmp_path, draw, subsample="new")
    assert [datum.label for datum in new.train_x] == [1, 1, 0, 0] and new.classnames == ["class_3", "class_4"]
    assert sorted(path.name for path in (tmp_path / "tiny" / "split_fewshot").iterdir()) == [
        "shot_2-seed_1_train.jsonl", "shot_2-seed_1_val.jsonl",
    ]  # fmt: skip


def test_without_shots_there_is_no_draw(tmp_path):
    make_tiny(tmp_path)
    assert len(tiny(tmp_path, "2SFS", shots=-1).train_x) == 30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"_impath": "class_0/train_0.jpg"}\n', "Line 1 of .*seed_1_train.jsonl is not a JSON object with _impath"),
        ("class_0/train_0.jpg\n", "Line 1 of .* is not a JSON object"),
        (line("class_0/train_0.jpg", 0) + line("class_0/test_0.jpg", 0), "Line 2 .* not a train image in the dataset"),
        (line("class_0/train_0.jpg", 1), "gives class_0/train_0.jpg the label 1; in the dataset's split it is 0"),
        ("\n", "lists no images"),
    ],
)
def test_a_draw_that_does_not_fit_is_refused_by_line(tmp_path, content, message):
    folder = make_tiny(tmp_path)
    write_draw(folder)
    (folder / "split_fewshot" / "shot_2-seed_1_train.jsonl").write_text(content)
    with pytest.raises(ValueError, match=message):
        tiny(tmp_path, "2SFS")


def test_a_missing_file_and_an_unknown_name_are_reported(tmp_path):
    folder = make_tiny(tmp_path)
    write_draw(folder)
    with pytest.raises(FileNotFoundError, match="shot_2-seed_3_train.jsonl does not exist"):
        tiny(tmp_path, "2SFS", seed=3)
    (folder / "split_fewshot" / "shot_2-seed_1_val.jsonl").unlink()  # the split has images for it
    with pytest.raises(FileNotFoundError, match="seed_1_val.jsonl"):
        tiny(tmp_path, "2SFS")
    with pytest.raises(ValueError, match="DATASET.DRAW is '2sf'; choose from 2sfs"):
        tiny(tmp_path, "2sf")


def test_train_py_trains_on_a_published_draw(data, tmp_path):
    write_draw(data / "caltech-101", "/anywhere/caltech-101/101_ObjectCategories/")
    flags = {
        "--root": data, "--output-dir": tmp_path / "out", "--seed": 1,
        "--trainer": "CoOp", "--backbone": "demo:student",
        "--dataset-config-file": ROOT / "configs/datasets/caltech101.yaml",
        "--config-file": ROOT / "configs/trainers/CoOp/demo.yaml",
    }  # fmt: skip
    pairs = ["DATASET.NUM_SHOTS", 2, "OPTIM.MAX_EPOCH", 1, "DATALOADER.NUM_WORKERS", 0, "DATASET.DRAW", "2SFS"]
    assert train.main([*(str(part) for flag in flags.items() for part in flag), *map(str, pairs)]) == 0
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["visible"]["train_images"] == 8 and record["config"]["DATASET"]["DRAW"] == "2SFS"
