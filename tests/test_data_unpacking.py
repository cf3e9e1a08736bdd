"""Archives of benchmarks: their parts are moved into place, nothing escapes and nothing is left half done."""

import gzip
import io
import tarfile
import zipfile

import pytest

from tests.conftest import unpacks
from tools.data.sources import RemoteFile
from tools.data.unpacking import move_into, unpack_into


def make_tar(path, *names, links=()):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"data"))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def make_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "data")
    return path


IMAGES = RemoteFile("x", moves=(("top/images", "images"),))


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@unpacks
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_the_parts_of_an_archive_are_moved_into_place_and_nothing_else_remains(tmp_path, make):
    archive = make(tmp_path / "x", "top/images/a/1.jpg", "top/images/2.jpg", "top/readme.txt")
    folder = tmp_path / "data" / "set"
    unpack_into(archive, IMAGES, folder)
    assert tree(folder) == ["images/2.jpg", "images/a/1.jpg"]
    (folder / "images" / "2.jpg").write_text("spoiled")
    (folder / "images" / "own.jpg").write_text("own")
    unpack_into(archive, IMAGES, folder)  # again: repairs, and deletes nothing
    assert tree(folder) == ["images/2.jpg", "images/a/1.jpg", "images/own.jpg"]
    assert (folder / "images" / "2.jpg").read_text() == "data"


@unpacks
@pytest.mark.parametrize(
    ("make", "names", "more"),
    [
        (make_tar, ["top/images/1.jpg", "../escaped"], {}),
        (make_tar, ["top/images/1.jpg"], {"links": [("top/images/link", "/etc")]}),
        (make_zip, ["top/images/1.jpg", "../escaped"], {}),
        (make_zip, ["top/images/1.jpg", "/tmp/escaped"], {}),
        (make_zip, ["top/images/1.jpg", "..\\escaped"], {}),
    ],
)
def test_archives_that_reach_outside_are_refused(tmp_path, make, names, more):
    archive = make(tmp_path / "x", *names, **more)
    folder = tmp_path / "data" / "set"
    with pytest.raises(ValueError, match="is refused: it reaches outside its folder"):
        unpack_into(archive, IMAGES, folder)
    assert tree(tmp_path) == ["x"] and not list(folder.iterdir())


@unpacks
def test_broken_and_wrong_archives_are_named(tmp_path):
    whole = make_tar(tmp_path / "x", *(f"top/images/{n}.jpg" for n in range(2000))).read_bytes()
    locked = bytearray(make_zip(tmp_path / "x", "top/images/1.jpg").read_bytes())
    locked[6] |= 1  # the flags of a file with a password, in its own header and in the list at the end
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    spoiled = gzip.compress(gzip.decompress(whole)[:9999]) + b"more, which is not of gzip"
    for content in (whole[: len(whole) // 2], b"no archive", b"PK\x03\x04" + bytes(100), bytes(locked), spoiled):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ValueError, match="x is broken or cut off"):
            unpack_into(tmp_path / "x", IMAGES, tmp_path / "set")
        assert not list((tmp_path / "set").iterdir())
    with tarfile.open(tmp_path / "x", "w") as archive:
        member = tarfile.TarInfo("top/images/1.jpg")
        member.type, member.linkname = tarfile.LNKTYPE, "top/images/absent.jpg"
        archive.addfile(member)
    with pytest.raises(ValueError, match="x is broken or cut off"):
        unpack_into(tmp_path / "x", IMAGES, tmp_path / "set")
    make_zip(tmp_path / "x", "other/1.jpg")
    with pytest.raises(ValueError, match="has no folder top/images, but other: it is a different archive"):
        unpack_into(tmp_path / "x", IMAGES, tmp_path / "set")


@unpacks
def test_archives_in_archives_are_unpacked_in_place_or_into_folders_of_their_names(tmp_path):
    inner = make_tar(tmp_path / "inner.tar.gz", "images/1.jpg").read_bytes()
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("top/inner.tar.gz", inner)
    unpack_into(tmp_path / "x", RemoteFile("x", moves=IMAGES.moves, inner="top/inner.tar.gz"), tmp_path / "set")
    assert tree(tmp_path / "set") == ["images/1.jpg"]

    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        for name in ("n01", "n02"):
            archive.add(make_tar(tmp_path / f"{name}.tar", f"{name}_1.JPEG"), f"{name}.tar")
    file = RemoteFile("train.tar", moves=((".", "images/train"),), inner="*.tar")
    unpack_into(tmp_path / "train.tar", file, tmp_path / "imagenet")
    assert tree(tmp_path / "imagenet") == ["images/train/n01/n01_1.JPEG", "images/train/n02/n02_1.JPEG"]
    assert (tmp_path / "imagenet" / "images" / "train").stat().st_mode & 0o777 == 0o755


def test_merging_moves_files_into_folders_that_exist(tmp_path):
    for name in ("new/a/1", "new/2", "old/a/3", "old/2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    move_into(tmp_path / "new", tmp_path / "old")
    assert tree(tmp_path) == ["old/2", "old/a/1", "old/a/3"] and (tmp_path / "old" / "2").read_text() == "new/2"
