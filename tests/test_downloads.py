"""Downloads arrive whole and verified, or leave nothing behind but a message."""

import hashlib
import resource
import socket
import time

import pytest

from kdpl import downloads
from kdpl.downloads import download_verified, sha256_of
from tests.loopback_server import LoopbackServer

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with LoopbackServer({"/file.bin": CONTENT}) as server:
        yield server


def fetch(server, tmp_path, sha256=SHA256, advice=""):
    download_verified(f"{server.url}/file.bin", tmp_path / "deep" / "file.bin", sha256, advice)
    return (tmp_path / "deep" / "file.bin").read_bytes()


def assert_fails_and_leaves_nothing(server, tmp_path, why, **arguments):
    with pytest.raises(ConnectionError, match=why) as caught:
        fetch(server, tmp_path, **arguments)
    assert str(tmp_path / "deep" / "file.bin") in str(caught.value)
    assert f"{server.url}/file.bin" in str(caught.value)
    assert list((tmp_path / "deep").iterdir()) == []


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # the example of the standard, FIPS 180-2
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_download_arrives_whole_and_shows_its_progress(server, tmp_path, capfd):
    assert fetch(server, tmp_path) == CONTENT
    assert "file.bin: 100%" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.bin"]


def test_a_connection_cut_on_the_way_is_taken_up_where_it_broke(server, tmp_path):
    server.cuts = [300_000, 500_000]
    assert fetch(server, tmp_path) == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-", "bytes=800000-"]


def test_a_server_that_cannot_resume_is_read_from_the_start_again(server, tmp_path):
    server.cuts, server.ranges = [300_000], False
    assert fetch(server, tmp_path) == CONTENT
    assert len(server.requests) == 2


def test_a_connection_that_brings_nothing_more_ends_the_download(server, tmp_path):
    server.cuts = [300_000, 0]
    assert_fails_and_leaves_nothing(server, tmp_path, "broke off after 300,000 of 1,024,000 bytes")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_told_with_its_status(server, tmp_path, status):
    server.status = status
    assert_fails_and_leaves_nothing(server, tmp_path, f"HTTP Error {status}")


def test_a_web_page_is_not_taken_for_the_file(server, tmp_path):
    server.content_type = "text/html; charset=utf-8"
    assert_fails_and_leaves_nothing(server, tmp_path, "web page")


def test_a_file_with_another_hash_is_thrown_away_and_an_older_one_kept(server, tmp_path):
    server.files["/file.bin"] = CONTENT[:-1] + b"x"
    assert_fails_and_leaves_nothing(server, tmp_path, f"not {SHA256}")
    (tmp_path / "deep" / "file.bin").write_text("older")
    with pytest.raises(ConnectionError, match="Name another file"):
        fetch(server, tmp_path, advice="Name another file.")
    assert (tmp_path / "deep" / "file.bin").read_text() == "older"


def test_a_server_that_never_answers_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    server.delay = 30
    started = time.monotonic()
    assert_fails_and_leaves_nothing(server, tmp_path, "timed out")
    assert time.monotonic() - started < 5


def test_a_closed_port_is_noticed_at_once(server, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{unused.getsockname()[1]}"  # bound, not listening
        assert_fails_and_leaves_nothing(server, tmp_path, "refused")


def test_a_full_disk_leaves_nothing_behind(server, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))  # a file may not grow past this
    try:
        assert_fails_and_leaves_nothing(server, tmp_path, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_no_address_is_an_error_that_shows_it(tmp_path):
    with pytest.raises(ConnectionError, match="unknown url type.*somewhere/file.bin"):
        download_verified("somewhere/file.bin", tmp_path / "file.bin", SHA256)
