"""Fetching from servers that misbehave: a file comes whole and verified, or nothing stays and everything is named."""

import errno
import gzip
import hashlib
import io
import random
import shutil
import tarfile
import zipfile

import pytest
import requests

from tests.loopback_server import LoopbackServer
from tools.data import fetching
from tools.data.fetching import fetch
from tools.data.sources import DRIVE, RemoteFile
from tools.data.unpacking import move_into, unpack_into

CONTENT = random.Random(0).randbytes(3_000_000)
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(fetching, "BACKOFF", 0.01)


@pytest.fixture
def server():
    with LoopbackServer({"/a.bin": CONTENT, "/b.bin": CONTENT}) as server:
        yield server


def fetch_into(folder, *urls, **facts):
    file = RemoteFile("a.bin", urls, **{"hash": MD5, **facts})
    path = folder / "data" / "a.bin"
    fetch(file, path, by_hand=path)
    return path


def refused(folder, *urls, leaves=0, **facts):
    """The error of a file that cannot be had; nothing of it may have stayed, or as many entries as ``leaves`` says."""
    with pytest.raises(ConnectionError) as error:
        fetch_into(folder, *urls, **facts)
    assert len(list((folder / "data").iterdir())) == leaves
    message = str(error.value)
    assert (
        message.startswith("a.bin could not be fetched:")
        and f"put the file at\n  {folder / 'data' / 'a.bin'}" in message
    )
    assert all(f"\n  {url}\n" in message for url in urls)  # the manual route
    return message


def test_a_whole_file_arrives(server, tmp_path):
    path = fetch_into(tmp_path, server.url + "/a.bin", size=len(CONTENT))
    assert path.read_bytes() == CONTENT and [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server, tmp_path):
    server.cuts = [1 << 20, 1 << 19]
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=1048576-", "bytes=1572864-"]


def test_a_server_that_cannot_go_on_in_the_middle_starts_again(server, tmp_path):
    server.cuts, server.ranges = [1 << 20], False
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT


def test_a_connection_that_always_breaks_is_named(server, tmp_path):
    server.cuts = [1 << 20] + [0] * 50
    assert "the connection broke off after 1,048,576 of 3,000,000 bytes" in refused(tmp_path, server.url + "/a.bin")


@pytest.mark.parametrize("version", [{"etag": '"v1"'}, {"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_a_later_run_goes_on_with_what_an_earlier_one_had(server, tmp_path, version):
    vars(server).update(version, cuts=[1 << 20] + [0] * 50)
    with pytest.raises(ConnectionError, match="broke off"):
        fetch_into(tmp_path, server.url + "/a.bin")
    server.cuts = []
    server.requests.clear()
    path = fetch_into(tmp_path, server.url + "/a.bin")
    assert server.requests == [("/a.bin", "bytes=1048576-")]
    assert path.read_bytes() == CONTENT and [p.name for p in path.parent.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_later_run_does_not_go_on_with_another_version(server, tmp_path, heeds_if_range):
    server.cuts, server.etag, server.heeds_if_range = [1 << 20] + [0] * 50, '"v1"', heeds_if_range
    server.files["/a.bin"] = bytes(2_000_000)
    with pytest.raises(ConnectionError):
        fetch_into(tmp_path, server.url + "/a.bin")
    server.files["/a.bin"], server.cuts, server.etag = CONTENT, [], '"v2"'
    assert fetch_into(tmp_path, server.url + "/a.bin", hash="").read_bytes() == CONTENT


def test_a_file_that_had_arrived_when_the_run_was_killed_is_not_fetched_again(server, tmp_path):
    server.cuts, server.etag = [len(CONTENT) - 1] + [0] * 50, '"v1"'
    with pytest.raises(ConnectionError):
        fetch_into(tmp_path, server.url + "/a.bin")
    (part,) = (tmp_path / "data").glob("*.part")
    part.write_bytes(CONTENT)
    server.cuts = []
    server.requests.clear()
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
    assert server.requests == [("/a.bin", "bytes=3000000-")]


def test_a_server_that_is_busy_later_costs_nothing_of_what_is_here(server, tmp_path):
    server.cuts, server.etag, server.statuses = [1 << 20], '"v1"', [200] + [503] * 5
    with pytest.raises(ConnectionError, match="the server answered 503"):
        fetch_into(tmp_path, server.url + "/a.bin")
    server.requests.clear()
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
    assert server.requests == [("/a.bin", "bytes=1048576-")]


def test_what_an_earlier_run_had_of_another_mirror_goes_when_the_file_is_there(server, tmp_path):
    server.cuts, server.etag = [1 << 20] + [0] * 50, '"v1"'
    with pytest.raises(ConnectionError):
        fetch_into(tmp_path, server.url + "/b.bin")
    server.cuts = []
    path = fetch_into(tmp_path, server.url + "/a.bin")
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_what_is_kept_of_a_longer_version_is_thrown_away(server, tmp_path):
    server.cuts, server.etag = [1 << 20] + [0] * 50, '"v1"'
    with pytest.raises(ConnectionError):
        fetch_into(tmp_path, server.url + "/a.bin")
    server.files["/a.bin"], server.cuts = CONTENT[:5000], []
    assert fetch_into(tmp_path, server.url + "/a.bin", hash="").read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(403, "refuses this"), (404, "not there any more"), (429, "try again later"), (500, "Internal")],
)
def test_refusals_are_named_and_the_next_mirror_is_tried(server, tmp_path, status, meaning):
    server.status = status
    message = refused(tmp_path, server.url + "/a.bin")
    assert f"the server answered {status} (" in message and meaning in message
    with LoopbackServer({"/a.bin": CONTENT}) as good:
        assert fetch_into(tmp_path, server.url + "/a.bin", good.url + "/a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, status):
    server.statuses = [status, status]
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_redirects_are_followed_to_their_end(server, tmp_path):
    server.redirects = {"/moved": server.url + "/b.bin", "/round": "/round"}
    assert fetch_into(tmp_path, server.url + "/moved").read_bytes() == CONTENT
    (tmp_path / "data" / "a.bin").unlink()
    assert "redirects" in refused(tmp_path, server.url + "/round")


def test_a_web_page_in_place_of_the_file_is_named(server, tmp_path):
    server.files["/a.bin"], server.content_type = b"<html>please sign in</html>", "text/html; charset=utf-8"
    assert "a web page came in place of the file" in refused(tmp_path, server.url + "/a.bin", hash="")
    server.content_type = "application/octet-stream"  # a server that does not even say so
    assert "a web page came in place of the file" in refused(tmp_path, server.url + "/a.bin", hash="")


def test_a_wrong_hash_a_short_file_and_an_empty_one_are_named(server, tmp_path):
    wrong = "md5:" + "0" * 32
    assert f"has the MD5 hash {MD5[4:]}, not {'0' * 32}" in refused(tmp_path, server.url + "/a.bin", hash=wrong)
    server.files["/a.bin"] = CONTENT[:1000]
    message = refused(tmp_path, server.url + "/a.bin", size=len(CONTENT))
    assert "the server announces 1,000 bytes; the file has 3,000,000" in message
    server.files["/a.bin"] = b""
    assert "an empty file came" in refused(tmp_path, server.url + "/a.bin", hash="")


def test_a_server_that_lies_about_the_size_is_found_out(server, tmp_path):
    server.announced = len(CONTENT) + 100
    message = refused(tmp_path, server.url + "/a.bin")
    assert "the connection broke off after 2," in message and " of 3,000,100 bytes" in message
    server.announced = 1000  # the rest is never read
    assert "has the MD5 hash" in refused(tmp_path, server.url + "/a.bin")


def test_no_server_at_all_is_named(tmp_path):
    with LoopbackServer({}) as gone:
        url = gone.url
    assert "the connection was refused" in refused(tmp_path, url + "/a.bin")
    assert "the server's name is not known here" in refused(tmp_path, "http://no-such-server.invalid/a.bin")


def test_a_full_disk_is_named_and_nothing_stays(server, tmp_path, monkeypatch):
    url = server.url + "/a.bin"
    folder = tmp_path / "data"
    folder.mkdir()
    part = folder / f"a.bin.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
    part.symlink_to("/dev/full")  # every write fails as on a full disk
    part.with_name(part.name + ".etag").write_text('"v1"')
    server.etag = '"v1"'
    with pytest.raises(OSError) as error:
        fetch_into(tmp_path, url)
    assert error.value.errno == errno.ENOSPC and not list(folder.iterdir())

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(OSError, match="a.bin needs 0.0 GB there, and 0.0 GB are free") as error:
        fetch_into(tmp_path, url)
    assert error.value.errno == errno.ENOSPC and not list(folder.iterdir())


def test_google_drive_is_asked_through_gdown(tmp_path, monkeypatch):
    import gdown
    from gdown.exceptions import FileURLRetrievalError

    def download(id, output, use_cookies, timeout, resume):
        assert id == "some_id" and timeout and resume
        with open(output, "wb") as file:
            file.write(CONTENT)
        return output

    def broken_off(id, output, **_):
        with open(output + "12345678.part", "wb") as file:
            file.write(b"half")
        raise requests.ConnectionError("the connection was lost")

    def too_many(id, output, **_):
        raise FileURLRetrievalError("Too many users have viewed or downloaded this file recently.")

    monkeypatch.setattr(gdown, "download", broken_off)
    assert "Google Drive: " in refused(tmp_path, DRIVE + "some_id", leaves=1)  # gdown goes on from it
    monkeypatch.setattr(gdown, "download", too_many)
    assert "Google Drive: Too many users" in refused(tmp_path, DRIVE + "some_id")
    monkeypatch.setattr(gdown, "download", download)
    assert fetch_into(tmp_path, DRIVE + "some_id").read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["a.bin"]


def test_a_server_that_asks_to_wait_is_heard_for_a_minute_at_most_and_it_is_said(server, tmp_path, capsys, monkeypatch):
    waits = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    server.statuses, server.retry_after = [429, 503], 3600
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
    assert waits == [60, 60]
    told = capsys.readouterr().out
    assert "busy (429): asking it again in 60 seconds" in told and "busy (503)" in told


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


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_an_archives_parts_come_to_their_places_and_nothing_else_stays(tmp_path, make):
    archive = make(tmp_path / "x", "top/images/a/1.jpg", "top/images/2.jpg", "top/readme.txt")
    folder = tmp_path / "data" / "set"
    unpack_into(archive, IMAGES, folder)
    assert tree(folder) == ["images/2.jpg", "images/a/1.jpg"]
    (folder / "images" / "2.jpg").write_text("spoiled")
    (folder / "images" / "own.jpg").write_text("own")
    unpack_into(archive, IMAGES, folder)  # again: repairs, and takes nothing away
    assert tree(folder) == ["images/2.jpg", "images/a/1.jpg", "images/own.jpg"]
    assert (folder / "images" / "2.jpg").read_text() == "data"


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
    with pytest.raises(ValueError, match="is refused, it reaches outside its folder"):
        unpack_into(archive, IMAGES, folder)
    assert tree(tmp_path) == ["x"] and not list(folder.iterdir())


def test_broken_archives_and_others_are_named(tmp_path):
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
    with pytest.raises(ValueError, match="holds no folder top/images, but other: it is another archive"):
        unpack_into(tmp_path / "x", IMAGES, tmp_path / "set")


def test_archives_in_archives_are_unpacked_where_they_lie_or_into_folders_of_their_names(tmp_path):
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
