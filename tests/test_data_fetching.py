"""`python -m tools.data get`, from servers on this machine."""

import dataclasses
import errno
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import datasets  # noqa: F401  registers them
from kdpl.locks import one_at_a_time
from tests.conftest import unpacks
from tests.loopback_server import LoopbackServer
from tests.tiny_datasets import write_jpeg
from tools.data import fetching
from tools.data.sources import FILES

from .small_benchmarks import CLASSNAMES, IDS, ROOT, SORTED, SPLIT, files_below, run, small


@pytest.fixture
def dtd(monkeypatch):
    return small("DescribableTextures", monkeypatch, n_classes=2, n_images=(2, 1, 1))


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


@unpacks
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
    """The archive of the whole dataset as on the public mirror: everything, and a useless cache, in one folder."""
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
    """DTD of a few images: no address of its own, and no published hash except that of the split."""
    split = json.dumps(SPLIT).encode()
    hash = f"sha256:{hashlib.sha256(split).hexdigest()}"
    changed = [
        dataclasses.replace(file, urls=(), size=0, hash="" if file.is_archive else hash) for file in FILES["dtd"]
    ]
    monkeypatch.setitem(FILES, "dtd", changed)
    return split


@unpacks
@pytest.mark.parametrize("top", ["dtd/", "describable_textures/dtd/", ""])
def test_get_uses_the_archive_of_the_whole_dataset_if_its_parts_are_gone(dtd_on_mirrors, top, tmp_path, capsys):
    arguments = ["get", "dtd", "--root", tmp_path, "--mirror"]
    with LoopbackServer({"/dtd/dtd.zip": whole_dtd(dtd_on_mirrors, top)}) as server:
        assert run(*arguments, server.url) == 0
        asked = [path for path, _ in server.requests]
        assert run(*arguments, server.url) == 0 and len(server.requests) == len(asked)
    assert asked == ["/dtd/split_zhou_DescribableTextures.json", "/dtd/dtd-r1.0.1.tar.gz", "/dtd/dtd.zip"]
    told = capsys.readouterr()
    assert "trying dtd.zip, which contains the whole dataset" in told.out and "dtd: complete" in told.out
    assert "by hand" not in told.err
    expected = {f"images/{path}" for part in SPLIT.values() for path, *_ in part}
    assert files_below(tmp_path / "dtd") == expected | {"split_zhou_DescribableTextures.json"}


@unpacks
def test_a_different_split_in_the_archive_of_a_whole_dataset_is_not_used(dtd_on_mirrors, tmp_path, capsys):
    with LoopbackServer({"/dtd/dtd.zip": whole_dtd(b'{"train": []}')}) as server:
        assert run("get", "dtd", "--root", tmp_path, "--mirror", server.url) == 1
    assert "has a different split_zhou_DescribableTextures.json, which is not used" in capsys.readouterr().out
    assert not (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").exists()


def test_a_wrong_archive_placed_by_hand_is_reported_and_nothing_else_is_fetched(dtd_on_mirrors, tmp_path):
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


def test_class_names_of_imagenet_come_from_a_published_draw_if_the_list_is_gone(tmp_path, monkeypatch):
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
        assert run("get", "imagenet", "--root", tmp_path) == 1  # images have to be downloaded by hand
    assert (tmp_path / "imagenet" / "classnames.txt").read_text() == CLASSNAMES


FETCH = ["get", "fgvc_aircraft", "--mirror"]


@unpacks
def test_get_after_a_kill_while_unpacking_uses_the_archive_and_clears_up(aircraft, tmp_path, monkeypatch):
    small("FGVCAircraft", monkeypatch, n_classes=2, n_images=(2, 2, 2))
    folder = tmp_path / "fgvc_aircraft"
    write_jpeg(folder / ".unpacking.killed" / "images" / "00.jpg")
    (folder / ".fgvc-aircraft-2013b.tar.gz").write_bytes(aircraft[0])
    with LoopbackServer({}) as server:
        assert run(*FETCH, server.url, "--root", tmp_path) == 0
        assert server.requests == []
    assert files_below(folder) == aircraft[1]


@unpacks
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


@unpacks
def test_one_download_waits_for_another_of_the_same_dataset(aircraft, tmp_path):
    folder = tmp_path / "fgvc_aircraft"
    with LoopbackServer({"/fgvc_aircraft/fgvc-aircraft-2013b.tar.gz": aircraft[0]}) as server:
        command = [sys.executable, "-m", "tools.data", *FETCH, server.url, "--root", str(tmp_path)]
        with one_at_a_time(folder / fetching.LOCK, ""):
            second = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            assert any("another process is fetching into" in line for line in second.stdout)
            assert server.requests == []
        assert "train  3,334        2               2" in second.communicate()[0]
    assert files_below(folder) == aircraft[1]


@unpacks
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


@unpacks
def test_get_unpacks_imagenets_own_archives_and_sorts_flat_images(tmp_path, monkeypatch):
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
    assert run("get", "imagenet", "--root", tmp_path) == 0  # a complete one does not need its archive again
    assert files_below(folder) < before


def test_get_of_imagenet_says_what_to_do_by_hand(tmp_path, capsys):
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "classnames.txt").write_text(CLASSNAMES)
    (tmp_path / "imagenet" / "ILSVRC2012_img_val.tar").write_bytes(b"another")
    assert run("get", "imagenet", "--root", tmp_path) == 1
    output, errors = capsys.readouterr()
    assert "imagenet: INCOMPLETE" in output
    assert "ILSVRC2012_img_train.tar has to be downloaded by hand." in errors and "image-net.org/download.php" in errors
    assert f"put the file at\n  {tmp_path / 'imagenet' / 'ILSVRC2012_img_train.tar'}\n" in errors
    assert (
        "ILSVRC2012_img_val.tar is not the right archive: 7 bytes arrived, but the file should have 6,744,924,160"
        in errors
    )
    assert files_below(tmp_path / "imagenet") == {"classnames.txt", "ILSVRC2012_img_val.tar"}


def test_get_from_a_server_with_the_wrong_file_leaves_nothing_and_says_so(tmp_path, monkeypatch):
    with LoopbackServer({"/eurosat/EuroSAT.zip": b"short", "/eurosat/split_zhou_EuroSAT.json": b"{}"}) as server:
        only_here = [dataclasses.replace(file, urls=()) for file in FILES["eurosat"]]
        monkeypatch.setitem(FILES, "eurosat", only_here)
        assert run("get", "eurosat", "--root", tmp_path, "--mirror", server.url) == 1
    assert files_below(tmp_path / "eurosat") == set()


def test_a_python_that_checks_no_paths_in_archives_is_refused_before_the_download(tmp_path, monkeypatch, capsys):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    with LoopbackServer({}) as server:
        assert run(*FETCH, server.url, "--root", tmp_path) == 1
    assert "use 3.10.12, 3.11.4 or newer" in capsys.readouterr().err and server.requests == []
