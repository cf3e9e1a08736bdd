"""Archives of any kind: files are put in place or one error is reported, and nothing is written anywhere else."""

import io
import stat
import tarfile
import zipfile

import pytest

from tests.conftest import unpacks
from tools.data.sources import RemoteFile
from tools.data.unpacking import unpack_into

FILE = RemoteFile("a", moves=(("in", "images"),))


def tar(*members, mode="w", good=True):
    """Members: a name, or a name with a type, a target and content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for member in (("in/1.jpg",),) * good + members:
            name, kind, target, content = (*member, *(tarfile.REGTYPE, "", b"x")[len(member) - 1 :])
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.size = kind, target, 0o6777, len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(*members, change=lambda content: content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content, *mode in (("in/1.jpg", "x"), *members):
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode[0] if mode else 0o644) << 16
            archive.writestr(info, content)
    return change(stream.getvalue())


def bomb():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(40):
            archive.writestr(f"in/{n}.jpg", bytes(10**7))
    return stream.getvalue()


def patched(old, new):
    return lambda content: content.replace(old, new)


LISTED = b"PK\x01\x02\x14\x03\x14\0"  # an entry of a zip's central directory, before its flags
WHOLE = tar(*[(f"in/{n}.jpg",) for n in range(200)], mode="w:gz")
FITS = {
    "a tar": tar(),
    "a zip": zipped(),
    "names that come twice": tar(("in/1.jpg",), ("in/1.jpg",)),
    "names that differ in case": tar(("in/A.jpg",), ("in/a.jpg",)),
    "names that come twice in a zip": zipped(("in/2.jpg", "x"), ("in/2.jpg", "y")),
    "files beside the folder": tar(("other/1.jpg",)),
    "a folder within": tar(("in/deep/er/1.jpg",)),
    "dots within": tar(("in/./2.jpg",)),
    "bzip2": tar(mode="w:bz2"),
    "xz": tar(mode="w:xz"),
}
REFUSED = {
    "empty": b"",
    "text": b"hello\n",
    "a web page": b"<html>Sign in</html>",
    "zeros": bytes(10_000),
    "noise": bytes(range(256)) * 100,
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(100),
    "another folder": tar(("out/1.jpg",), good=False),
    "no files": tar(good=False),
    "a parent": tar(("../escaped",)),
    "a parent further down": tar(("in/../../escaped",)),
    "a link": tar(("in/up", tarfile.SYMTYPE, "../..")),
    "a link to a file of this machine": tar(("in/up", tarfile.SYMTYPE, "/etc/hostname")),
    "a link, then a file through it": tar(("in/up", tarfile.SYMTYPE, "../../.."), ("in/up/escaped",)),
    "a link that is replaced": tar(("in/up", tarfile.SYMTYPE, "1.jpg"), ("in/up",), ("in/on", tarfile.SYMTYPE, "up")),
    "a hard link to nothing": tar(("in/up", tarfile.LNKTYPE, "in/none")),
    "a hard link outside": tar(("in/up", tarfile.LNKTYPE, "../../canary")),
    "a device": tar(("in/null", tarfile.CHRTYPE)),
    "a disk": tar(("in/disk", tarfile.BLKTYPE)),
    "a pipe": tar(("in/pipe", tarfile.FIFOTYPE)),
    "a file that is a folder": tar(("in/1.jpg/2.jpg",)),
    "a name of 300 letters": tar(("in/" + "a" * 300,)),
    "cut off": WHOLE[: len(WHOLE) // 2],
    "cut off, xz": tar(mode="w:xz")[:80],
    "cut off, bzip2": tar(mode="w:bz2")[:60],
    "a parent in a zip": zipped(("../escaped", "x")),
    "an absolute path in a zip": zipped(("/escaped", "x")),
    "a backslash in a zip": zipped(("..\\escaped", "x")),
    "a link in a zip that reads one": zipped(("in/up/escaped", "x"), ("in/up", "../..", stat.S_IFLNK | 0o777)),
    "a zip with a password": zipped(change=patched(LISTED + b"\0\0", LISTED + b"\1\0")),
    "a zip of an unknown kind": zipped(change=patched(LISTED + bytes(4), LISTED + b"\0\0\x63\0")),
    "a wrong checksum": zipped(("in/2.jpg", "hello"), change=patched(b"hello", b"jello")),
    "a zip that is cut off": zipped()[:-30],
    "a zip without a list": zipped(change=patched(b"PK\x01\x02", b"PK\x09\x09")),
    "a bomb": bomb(),
}  # fmt: skip


@unpacks
@pytest.mark.parametrize("content", [*FITS.values(), *REFUSED.values()], ids=[*FITS, *REFUSED])
def test_an_archive_comes_to_its_place_or_is_refused(content, tmp_path, request, monkeypatch):
    monkeypatch.setattr("tools.data.unpacking.SLACK", 2**16)
    (tmp_path / "canary").write_text("untouched")
    archive, folder = tmp_path / "a", tmp_path / "data" / "set"
    archive.write_bytes(content)
    if request.node.callspec.id in FITS:
        unpack_into(archive, FILE, folder)
        assert (folder / "images" / "1.jpg").read_bytes() == b"x"
        assert not any(path.stat().st_mode & 0o7000 for path in folder.rglob("*"))  # no setuid, setgid or sticky bits
    else:
        with pytest.raises(ValueError) as caught:
            unpack_into(archive, FILE, folder)
        assert type(caught.value) is ValueError and "a " in str(caught.value)
        assert list(folder.iterdir()) == []
    assert (tmp_path / "canary").read_text() == "untouched"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "canary", "data"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["set"]
