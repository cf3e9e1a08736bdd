"""`python -m tools.data` through its command line, on small stand-ins of the benchmarks."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dassl.data.datasets import DATASET_REGISTRY
from PIL import Image
from scipy.io import savemat

import datasets  # noqa: F401  registers them
from kdpl.locks import one_at_a_time
from tests.loopback_server import LoopbackServer
from tests.tiny_datasets import write_jpeg
from tools.data import __main__ as tool
from tools.data import fetching
from tools.data.repairing import repair
from tools.data.sources import FILES

ROOT = Path(__file__).parents[1]


def data(*arguments, root=None):
    """Exit code, output and errors of the tool in a process of its own."""
    command = [sys.executable, "-m", "tools.data", *map(str, arguments)] + (["--root", str(root)] if root else [])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return done.returncode, done.stdout, done.stderr


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


@pytest.fixture
def dtd(monkeypatch):
    return small("DescribableTextures", monkeypatch, n_classes=2, n_images=(2, 1, 1))


def files_below(folder):
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return files - {fetching.LOCK}


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
        and "'caltech102' is none of the benchmarks (did you mean 'caltech101'?); they are caltech101, " in errors
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
    assert f"None of the benchmarks is in {tmp_path}." in capsys.readouterr().out
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


def test_fix_tells_the_cars_for_training_from_those_for_testing(tmp_path, monkeypatch):
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


IDS = ["n01440764", "n01443537", "n01484850"]
CLASSNAMES = "n01440764 tench\nn01443537 goldfish\nn01484850 great white shark\n"


def make_flat_imagenet(folder):
    for wnid in IDS:
        write_jpeg(folder / "images" / "train" / wnid / f"{wnid}_1.JPEG")
    for n in (1, 2, 3):
        write_jpeg(folder / "images" / "val" / f"ILSVRC2012_val_{n:08}.JPEG", n)
    (folder / "classnames.txt").write_text(CLASSNAMES)


SORTED = {f"images/val/{IDS[k]}/ILSVRC2012_val_{n:08}.JPEG" for n, k in ((1, 2), (2, 0), (3, 1))}


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


def test_a_repair_that_only_looks_changes_nothing(tmp_path, monkeypatch):
    dataset = small("ImageNetR", monkeypatch, n_classes=3, n_images=(0, 0, 3)).unopened(tmp_path)
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "classnames.txt").write_text(CLASSNAMES)
    for wnid in IDS:
        write_jpeg(tmp_path / "imagenet-r" / wnid / "art_0.jpg")
    before = files_below(tmp_path)
    assert len(repair(dataset, tmp_path, do=False)) == 2 and files_below(tmp_path) == before


@pytest.fixture
def aircraft():
    """The archive of a whole small FGVC-Aircraft: a benchmark whose hash is not published."""
    lists = {
        part: "".join(f"{n}{k} {name}\n" for n, name in enumerate(("707", "A 310")))
        for k, part in enumerate(("train", "val", "test"))
    }
    content = {f"images_variant_{part}.txt": text.encode() for part, text in lists.items()}
    content |= {"variants.txt": b"707\nA 310\n"} | {
        f"images/{n}{k}.jpg": write_jpeg_bytes() for n in (0, 1) for k in range(3)
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(f"fgvc-aircraft-2013b/data/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue(), set(content)


def test_get_fetches_unpacks_and_counts(aircraft, tmp_path, monkeypatch, capsys):
    small("FGVCAircraft", monkeypatch, n_classes=2, n_images=(2, 2, 2))
    archive, names = aircraft
    with LoopbackServer({"/mirror/fgvc_aircraft/fgvc-aircraft-2013b.tar.gz": archive}) as server:
        arguments = ["get", "fgvc_aircraft", "--root", tmp_path, "--mirror", server.url + "/mirror"]
        assert run(*arguments) == 0
        assert "fgvc_aircraft: complete" in capsys.readouterr().out
        assert files_below(tmp_path / "fgvc_aircraft") == names
        assert run(*arguments) == 0 and len(server.requests) == 1  # what is complete is not fetched again
        (tmp_path / "fgvc_aircraft" / "images" / "00.jpg").unlink()
        assert run(*arguments) == 0 and len(server.requests) == 2
        assert files_below(tmp_path / "fgvc_aircraft") == names


def zip_of(content):
    """A zip, in bytes, of names and bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, data in content.items():
            zipped.writestr(name, data)
    return archive.getvalue()


def whole_dtd(split, top="dtd/"):
    """The archive of the whole dataset as the public mirror has it: everything, and a cache of no use, in a folder."""
    jpeg = write_jpeg_bytes()
    content = {f"{top}images/{path}": jpeg for part in SPLIT.values() for path, *_ in part}
    content |= {f"{top}split_zhou_DescribableTextures.json": split, f"{top}split_fewshot/shot_16-seed_1.pkl": b"pickle"}
    return zip_of(content)


def write_jpeg_bytes():
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    return jpeg.getvalue()


@pytest.fixture
def dtd_on_mirrors(dtd, monkeypatch):
    """DTD of a few images: no address of its own, and no published hash but that of the split."""
    split = json.dumps(SPLIT).encode()
    hash = f"sha256:{hashlib.sha256(split).hexdigest()}"
    changed = [
        dataclasses.replace(file, urls=(), size=0, hash="" if file.is_archive else hash) for file in FILES["dtd"]
    ]
    monkeypatch.setitem(FILES, "dtd", changed)
    return split


@pytest.mark.parametrize("top", ["dtd/", "describable_textures/dtd/", ""])
def test_get_takes_the_archive_of_the_whole_dataset_where_its_parts_are_gone(dtd_on_mirrors, top, tmp_path, capsys):
    arguments = ["get", "dtd", "--root", tmp_path, "--mirror"]
    with LoopbackServer({"/dtd/dtd.zip": whole_dtd(dtd_on_mirrors, top)}) as server:
        assert run(*arguments, server.url) == 0
        asked = [path for path, _ in server.requests]
        assert run(*arguments, server.url) == 0 and len(server.requests) == len(asked)
    assert asked == ["/dtd/split_zhou_DescribableTextures.json", "/dtd/dtd-r1.0.1.tar.gz", "/dtd/dtd.zip"]
    told = capsys.readouterr()
    assert "trying dtd.zip, which holds the whole dataset" in told.out and "dtd: complete" in told.out
    assert "by hand" not in told.err
    expected = {f"images/{path}" for part in SPLIT.values() for path, *_ in part}
    assert files_below(tmp_path / "dtd") == expected | {"split_zhou_DescribableTextures.json"}


def test_another_split_in_the_archive_of_a_whole_dataset_is_not_taken(dtd_on_mirrors, tmp_path, capsys):
    with LoopbackServer({"/dtd/dtd.zip": whole_dtd(b'{"train": []}')}) as server:
        assert run("get", "dtd", "--root", tmp_path, "--mirror", server.url) == 1
    assert "has another split_zhou_DescribableTextures.json, which is not taken" in capsys.readouterr().out
    assert not (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").exists()


def test_a_wrong_archive_put_there_by_hand_is_told_and_nothing_else_is_fetched(dtd_on_mirrors, tmp_path):
    (tmp_path / "dtd").mkdir()
    (tmp_path / "dtd" / "dtd-r1.0.1.tar.gz").write_bytes(b"<html>")
    files = {"/dtd/split_zhou_DescribableTextures.json": dtd_on_mirrors, "/dtd/dtd.zip": b"not asked for"}
    with LoopbackServer(files) as server:
        assert run("get", "dtd", "--root", tmp_path, "--mirror", server.url) == 1
        assert [path for path, _ in server.requests] == ["/dtd/split_zhou_DescribableTextures.json"]


def test_fix_knows_the_layout_of_the_public_mirror(dtd, tmp_path, monkeypatch, capsys):
    mirror = tmp_path / "prompt_learning_dataset"
    with zipfile.ZipFile(io.BytesIO(whole_dtd(json.dumps(SPLIT).encode()))) as content:
        content.extractall(mirror / "dtd")
    assert run("fix", "dtd", "--root", tmp_path) == 0
    small("ImageNetR", monkeypatch, n_classes=3, n_images=(0, 0, 3))
    small("ImageNetSketch", monkeypatch, n_classes=3, n_images=(0, 0, 3))
    for wnid in IDS:
        write_jpeg(mirror / "imagenet-rendition" / "imagenet-r" / wnid / "art_0.jpg")
        write_jpeg(mirror / "imagenet-sketch" / "images" / wnid / "sketch_0.JPEG")
    (mirror / "imagenet-rendition" / "classnames.txt").write_text(CLASSNAMES)
    assert run("fix", "imagenet_r", "imagenet_sketch", "--root", tmp_path) == 0
    assert "imagenet_sketch: complete" in capsys.readouterr().out


def test_class_names_of_imagenet_come_from_a_published_draw_where_the_list_is_gone(tmp_path, monkeypatch):
    items = [
        {"impath": f"./data/imagenet/images/train/{folder}/{folder}_1.JPEG", "label": label, "classname": name}
        for label, (folder, name) in enumerate(line.split(" ", 1) for line in CLASSNAMES.splitlines())
    ]
    draw = {"/draw.json": json.dumps({"train": {"data": items}, "val": {"data": []}}).encode()}
    with LoopbackServer(draw) as server:
        changed = [
            dataclasses.replace(file, urls=(), draws=(f"{server.url}/draw.json",) if file.draws else ())
            for file in FILES["imagenet"]
        ]
        monkeypatch.setitem(FILES, "imagenet", changed)
        assert run("get", "imagenet", "--root", tmp_path) == 1  # images come by hand
    assert (tmp_path / "imagenet" / "classnames.txt").read_text() == CLASSNAMES


FETCH = ["get", "fgvc_aircraft", "--mirror"]


def test_get_after_a_kill_while_unpacking_uses_the_archive_and_clears_up(aircraft, tmp_path, monkeypatch):
    small("FGVCAircraft", monkeypatch, n_classes=2, n_images=(2, 2, 2))
    folder = tmp_path / "fgvc_aircraft"
    write_jpeg(folder / ".unpacking.killed" / "images" / "00.jpg")
    (folder / ".fgvc-aircraft-2013b.tar.gz").write_bytes(aircraft[0])
    with LoopbackServer({}) as server:
        assert run(*FETCH, server.url, "--root", tmp_path) == 0
        assert server.requests == []
    assert files_below(folder) == aircraft[1]


def test_get_on_a_full_disk_says_so_with_the_manual_route_and_keeps_the_archive(
    aircraft, tmp_path, monkeypatch, capsys
):
    small("FGVCAircraft", monkeypatch, n_classes=2, n_images=(2, 2, 2))
    archive, names = aircraft

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with LoopbackServer({"/fgvc_aircraft/fgvc-aircraft-2013b.tar.gz": archive}) as server:
        with monkeypatch.context() as patched:
            patched.setattr(fetching, "unpack_into", full)
            assert run(*FETCH, server.url, "--root", tmp_path) == 1
        errors = capsys.readouterr().err
        assert "is full: No space left on device" in errors and f"put the file at\n  {tmp_path}" in errors
        assert run(*FETCH, server.url, "--root", tmp_path) == 0 and len(server.requests) == 1
    assert files_below(tmp_path / "fgvc_aircraft") == names


def test_one_that_gets_waits_for_another_that_gets_the_same(aircraft, tmp_path):
    folder = tmp_path / "fgvc_aircraft"
    with LoopbackServer({"/fgvc_aircraft/fgvc-aircraft-2013b.tar.gz": aircraft[0]}) as server:
        command = [sys.executable, "-m", "tools.data", *FETCH, server.url, "--root", str(tmp_path)]
        with one_at_a_time(folder / fetching.LOCK, ""):
            second = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            assert any("another process fetches into" in line for line in second.stdout)
            assert server.requests == []
        assert "train  3,334        2               2" in second.communicate()[0]
    assert files_below(folder) == aircraft[1]


def test_get_takes_an_archive_that_was_downloaded_by_hand(aircraft, tmp_path, monkeypatch):
    small("FGVCAircraft", monkeypatch, n_classes=2, n_images=(2, 2, 2))
    (tmp_path / "fgvc_aircraft").mkdir()
    (tmp_path / "fgvc_aircraft" / "fgvc-aircraft-2013b.tar.gz").write_bytes(aircraft[0])
    assert run("get", "fgvc_aircraft", "--root", tmp_path) == 0


def tar_of(content):
    """A tar, in bytes, of names and bytes."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def test_get_unpacks_imagenets_own_archives_and_sorts_what_lies_flat(tmp_path, monkeypatch):
    small("ImageNet", monkeypatch, n_classes=3, n_images=(3, 0, 3))
    monkeypatch.setitem(
        FILES, "imagenet", [dataclasses.replace(file, hash="", size=0, urls=()) for file in FILES["imagenet"]]
    )
    folder = tmp_path / "imagenet"
    folder.mkdir()
    jpeg = write_jpeg(tmp_path / "picture.jpg").read_bytes()
    synsets = np.array(
        [(n + 1, wnid) for n, wnid in enumerate(IDS)], dtype=[("ILSVRC2012_ID", object), ("WNID", object)]
    )
    savemat(tmp_path / "meta.mat", {"synsets": synsets})
    devkit = {
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": b"3\n1\n2\n",
        "ILSVRC2012_devkit_t12/data/meta.mat": (tmp_path / "meta.mat").read_bytes(),
    }
    (folder / "classnames.txt").write_text(CLASSNAMES)
    train = {f"{wnid}.tar": tar_of({f"{wnid}_1.JPEG": jpeg}) for wnid in IDS}
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_of(train))
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_of({f"ILSVRC2012_val_{n:08}.JPEG": jpeg for n in (1, 2, 3)}))
    (folder / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(tar_of(devkit))
    assert run("get", "imagenet", "--root", tmp_path) == 0
    assert SORTED | {f"images/train/{wnid}/{wnid}_1.JPEG" for wnid in IDS} <= files_below(folder)
    before = files_below(folder)
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        (folder / name).unlink()
    shutil.rmtree(folder / "ILSVRC2012_devkit_t12")
    assert run("get", "imagenet", "--root", tmp_path) == 0  # a complete one needs no archive again
    assert files_below(folder) < before


def test_get_of_imagenet_says_what_to_do_by_hand(tmp_path, capsys):
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "classnames.txt").write_text(CLASSNAMES)
    (tmp_path / "imagenet" / "ILSVRC2012_img_val.tar").write_bytes(b"another")
    assert run("get", "imagenet", "--root", tmp_path) == 1
    output, errors = capsys.readouterr()
    assert "imagenet: INCOMPLETE" in output
    assert "ILSVRC2012_img_train.tar has to be fetched by hand." in errors and "image-net.org/download.php" in errors
    assert f"put the file at\n  {tmp_path / 'imagenet' / 'ILSVRC2012_img_train.tar'}\n" in errors
    assert "ILSVRC2012_img_val.tar is not the right archive: 7 bytes arrived; the file has 6,744,924,160" in errors
    assert files_below(tmp_path / "imagenet") == {"classnames.txt", "ILSVRC2012_img_val.tar"}


def test_get_from_a_server_with_the_wrong_file_leaves_nothing_and_says_so(tmp_path, monkeypatch):
    with LoopbackServer({"/eurosat/EuroSAT.zip": b"short", "/eurosat/split_zhou_EuroSAT.json": b"{}"}) as server:
        only_here = [dataclasses.replace(file, urls=()) for file in FILES["eurosat"]]
        monkeypatch.setitem(FILES, "eurosat", only_here)
        assert run("get", "eurosat", "--root", tmp_path, "--mirror", server.url) == 1
    assert files_below(tmp_path / "eurosat") == set()


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
