"""`python -m tools.data` through its command line: list, check, fix and split."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import datasets  # noqa: F401  registers them
from tests.tiny_datasets import write_jpeg
from tools.data import __main__ as tool
from tools.data.repairing import repair
from tools.data.sources import FILES

from .small_benchmarks import CLASSNAMES, IDS, ROOT, SORTED, files_below, make_dtd, run, small


def data(*arguments, root=None):
    """Exit code, output and errors of the tool in a process of its own."""
    command = [sys.executable, "-m", "tools.data", *map(str, arguments)] + (["--root", str(root)] if root else [])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def dtd(monkeypatch):
    return small("DescribableTextures", monkeypatch, n_classes=2, n_images=(2, 1, 1))


def test_every_benchmark_has_files_that_bring_all_it_needs():
    for name, files in FILES.items():
        needed = {path.rstrip("/") for path in tool.benchmarks()[name].needed_paths()}
        brought = {file.name for file in files if not file.is_archive}
        places = {place for file in files for _, place in file.moves}
        if "." not in places:  # an archive that is the whole folder brings what it holds
            assert needed <= brought | places | {Path(place).parent.as_posix() for place in places}, name
        for file in files:
            assert file.urls or file.by_hand, file.name
            assert all(url.startswith(("https://", "http://")) for url in file.urls)
            assert not file.hash or len(file.hash) in (len("md5:") + 32, len("sha256:") + 64)


def test_published_splits_at_hand_are_those_that_the_tool_expects(shared):
    found = 0
    for name, files in FILES.items():
        for file in files:
            path = shared / "data" / tool.benchmarks()[name].dataset_dir / file.name
            if file.hash.startswith("sha256:") and path.is_file():
                assert file.fault(path) is None, path
                found += 1
    assert found == 7


def test_the_list_names_all_with_bytes_terms_and_sources(tmp_path, capsys):
    (tmp_path / "dtd").mkdir()
    assert run("list", "--root", tmp_path) == 0
    headings, _, *lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert list(rows) == list(FILES) and "bytes to fetch" in headings
    assert "625,239,812  dtd/  " in rows["dtd"] and "caltech-101/ (absent)" in rows["caltech101"]
    assert "154,642,401,280 or more" in rows["imagenet"] and "CC BY 4.0" in rows["caltech101"]


def test_unknown_names_are_an_error_that_lists_the_known(tmp_path):
    code, _, errors = data("get", "caltech102", root=tmp_path)
    assert (
        code == 2
        and "There is no benchmark 'caltech102' (did you mean 'caltech101'?); choose from caltech101, " in errors
    )
    assert "Traceback" not in errors


def test_names_may_be_those_of_configurations_and_folders():
    assert tool._names(["dtd", "FOOD101", "imagenet_a", "ImageNetA", "imagenet-adversarial", "sun397"]) == [
        "dtd", "food101", "imagenet_a", "sun397"
    ]  # fmt: skip
    assert tool._names(["all"]) == list(FILES) and len(FILES) == 15


def test_check_counts_names_the_first_missing_file_and_the_command(dtd, tmp_path, capsys):
    make_dtd(tmp_path / "dtd")
    assert run("check", "--root", tmp_path) == 0
    assert "dtd: complete" in capsys.readouterr().out
    (tmp_path / "dtd" / "images" / "dotted" / "dotted_1.jpg").unlink()
    assert run("check", "dtd", "--root", tmp_path) == 1
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines()]
    assert ["train", "2", "2", "1"] in rows and ["test", "1", "1", "1"] in rows
    assert "1 train images are missing; the first is dotted/dotted_1.jpg" in output
    assert f"repair: python -m tools.data get dtd --root {tmp_path}" in output


def test_check_opens_images_when_asked(dtd, tmp_path, capsys):
    make_dtd(tmp_path / "dtd")
    (tmp_path / "dtd" / "images" / "dotted" / "dotted_1.jpg").write_bytes(b"no image")
    assert run("check", "--root", tmp_path) == 0
    assert run("check", "--images", "--root", tmp_path) == 1
    assert "dotted/dotted_1.jpg cannot be read: not an image" in capsys.readouterr().out


def test_check_of_nothing_says_so_and_a_missing_dataset_is_incomplete(tmp_path, capsys):
    assert run("check", "--root", tmp_path) == 0
    assert f"{tmp_path} has none of the benchmarks." in capsys.readouterr().out
    assert run("check", "eurosat", "--root", tmp_path) == 1
    output = capsys.readouterr().out
    assert f"{tmp_path / 'eurosat'} does not exist" in output and "tools.data get eurosat" in output


@pytest.mark.parametrize(
    ("folder", "images"),
    [
        ("dtd/dtd", "images"),
        ("dtd", "DTD_pictures"),
        ("describable-textures/r1.0.1", "images"),
        (".", "images"),
        ("dtd", "."),
    ],
)
def test_fix_finds_images_and_split_wherever_they_are(dtd, tmp_path, capsys, folder, images):
    make_dtd(tmp_path / folder, images)
    before = files_below(tmp_path)
    assert run("fix", "dtd", "--dry-run", "--root", tmp_path) == 0
    assert "would move" in capsys.readouterr().out and files_below(tmp_path) == before
    assert run("fix", "dtd", "--root", tmp_path) == 0
    assert "dtd: complete" in capsys.readouterr().out
    assert len(files_below(tmp_path)) == len(before)  # nothing is lost
    assert run("fix", "dtd", "--root", tmp_path) == 0


def test_check_names_fix_where_that_helps(dtd, tmp_path, capsys):
    make_dtd(tmp_path / "dtd" / "dtd")
    assert run("check", "dtd", "--root", tmp_path) == 1
    assert "repair: python -m tools.data fix dtd" in capsys.readouterr().out


def test_fix_distinguishes_training_and_test_images_of_stanford_cars(tmp_path, monkeypatch):
    cars = small("StanfordCars", monkeypatch, n_classes=1, n_images=(3, 0, 2))
    split = {
        "train": [[f"cars_train/0000{n}.jpg", 0, "car"] for n in (1, 2, 3)],
        "val": [],
        "test": [[f"cars_test/0000{n}.jpg", 0, "car"] for n in (1, 2)],
    }
    folder = tmp_path / "stanford_cars"
    for part, count in (("cars_train", 3), ("cars_test", 2)):  # as on Kaggle
        for n in range(1, count + 1):
            write_jpeg(folder / part / part / f"0000{n}.jpg", n)
    (folder / cars.split_file).write_text(json.dumps(split))
    assert run("fix", "StanfordCars", "--root", tmp_path) == 0
    assert {path for path in files_below(folder) if path.endswith("jpg")} == {
        path for part in split.values() for path, *_ in part
    }


def make_flat_imagenet(folder):
    for wnid in IDS:
        write_jpeg(folder / "images" / "train" / wnid / f"{wnid}_1.JPEG")
    for n in (1, 2, 3):
        write_jpeg(folder / "images" / "val" / f"ILSVRC2012_val_{n:08}.JPEG", n)
    (folder / "classnames.txt").write_text(CLASSNAMES)


def test_fix_sorts_flat_validation_images_by_the_devkit(tmp_path, monkeypatch, capsys):
    small("ImageNet", monkeypatch, n_classes=3, n_images=(3, 0, 3))
    folder = tmp_path / "imagenet"
    make_flat_imagenet(folder)
    assert run("fix", "imagenet", "--root", tmp_path) == 1
    assert "nothing below" in (captured := capsys.readouterr()).err and "has 0" in captured.out
    devkit = folder / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n2\n")
    synsets = np.array(
        [(n + 1, wnid) for n, wnid in enumerate(IDS)], dtype=[("ILSVRC2012_ID", object), ("WNID", object)]
    )
    savemat(devkit / "meta.mat", {"synsets": synsets})
    assert run("fix", "imagenet", "--root", tmp_path) == 0
    assert {path for path in files_below(folder) if path.startswith("images/val")} == SORTED


def test_fix_knows_kaggles_form_of_imagenet(tmp_path, monkeypatch):
    small("ImageNet", monkeypatch, n_classes=3, n_images=(3, 0, 3))
    folder = tmp_path / "imagenet"
    make_flat_imagenet(folder)
    (folder / "ILSVRC" / "Data").mkdir(parents=True)
    shutil.move(folder / "images", folder / "ILSVRC" / "Data" / "CLS-LOC")
    rows = [f"ILSVRC2012_val_{n:08},{IDS[k]} 1 2 3 4" for n, k in ((1, 2), (2, 0), (3, 1))]
    (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows]))
    assert run("fix", "imagenet", "--root", tmp_path) == 0
    assert SORTED <= files_below(folder)


@pytest.mark.parametrize(
    "unpacked", ["imagenet-rendition/images", "imagenet-r", "imagenet-rendition", "imagenet-r/imagenet-r"]
)
def test_fix_brings_class_names_and_folders_of_the_variants(tmp_path, monkeypatch, unpacked):
    small("ImageNetR", monkeypatch, n_classes=3, n_images=(0, 0, 3))
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "classnames.txt").write_text(CLASSNAMES)
    for wnid in IDS:
        write_jpeg(tmp_path / "imagenet-a" / wnid / "another_set.jpg")  # has the same folders
        write_jpeg(tmp_path / unpacked / wnid / "art_0.jpg")
    assert run("fix", "imagenet_r", "--root", tmp_path) == 0
    expected = {f"imagenet-r/{wnid}/art_0.jpg" for wnid in IDS} | {"classnames.txt"}
    assert files_below(tmp_path / "imagenet-rendition") == expected


def test_a_dry_run_of_a_repair_changes_nothing(tmp_path, monkeypatch):
    dataset = small("ImageNetR", monkeypatch, n_classes=3, n_images=(0, 0, 3)).unopened(tmp_path)
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "classnames.txt").write_text(CLASSNAMES)
    for wnid in IDS:
        write_jpeg(tmp_path / "imagenet-r" / wnid / "art_0.jpg")
    before = files_below(tmp_path)
    assert len(repair(dataset, tmp_path, do=False)) == 2 and files_below(tmp_path) == before


def test_a_split_from_the_annotation_is_made_on_request_only(tmp_path, capsys):
    folder = tmp_path / "sun397"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="ClassName.txt does not exist"):
        run("split", "sun397", "--root", tmp_path)
    (folder / "ClassName.txt").write_text("/a/abbey\n")
    (folder / "Training_01.txt").write_text("".join(f"/a/abbey/{n}.jpg\n" for n in range(10)))
    (folder / "Testing_01.txt").write_text("/a/abbey/t.jpg\n")
    assert run("split", "sun397", "--root", tmp_path) == 0
    assert "8 train, 2 val, 1 test" in capsys.readouterr().out
    split = json.loads((folder / "split_zhou_SUN397.json").read_text())
    assert split["test"] == [["a/abbey/t.jpg", 0, "abbey"]]
    with pytest.raises(ValueError, match="exists"):
        run("split", "sun397", "--root", tmp_path)
