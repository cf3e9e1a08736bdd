"""Downloads from misbehaving servers: files arrive complete and verified, or nothing is left and the cause is named."""

import email.utils
import errno
import hashlib
import multiprocessing
import resource
import shutil
import socket
import threading
import time

import pytest
import requests

from kdpl import downloads, locks
from kdpl.fingerprints import sha256_of
from kdpl.google_drive import DRIVE
from tests import fetched_files
from tests.fetched_files import CONTENT, MD5, entries, fetch_into, refused
from tests.loopback_server import LoopbackServer

impatient, server = fetched_files.impatient, fetched_files.server  # fixtures


def test_a_whole_file_arrives(server, tmp_path):
    path = fetch_into(tmp_path, server.url + "/a.bin", size=len(CONTENT))
    assert path.read_bytes() == CONTENT and entries(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(403, "access denied"), (404, "no longer exists"), (429, "try again later"), (500, "Internal")],
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
    assert "a web page arrived instead of the file" in refused(tmp_path, server.url + "/a.bin", hash="")
    server.content_type = "application/octet-stream"  # a server that does not even say so
    assert "a web page arrived instead of the file" in refused(tmp_path, server.url + "/a.bin", hash="")


def test_a_wrong_hash_a_short_file_and_an_empty_one_are_named(server, tmp_path):
    wrong = "md5:" + "0" * 32
    assert f"has the MD5 hash {MD5[4:]}, not {'0' * 32}" in refused(tmp_path, server.url + "/a.bin", hash=wrong)
    server.files["/a.bin"] = CONTENT[:1000]
    message = refused(tmp_path, server.url + "/a.bin", size=len(CONTENT))
    assert "the server announces 1,000 bytes, but the file should have 3,000,000" in message
    server.files["/a.bin"] = b""
    assert "an empty file arrived" in refused(tmp_path, server.url + "/a.bin", hash="")


def test_a_server_that_lies_about_the_size_is_found_out(server, tmp_path):
    server.announced, server.ranges = len(CONTENT) + 100, False
    message = refused(tmp_path, server.url + "/a.bin")
    assert "the connection broke off after 3,000,000 of 3,000,100 bytes" in message
    server.announced = 1000  # the rest is never read
    assert "has the MD5 hash" in refused(tmp_path, server.url + "/a.bin")


def test_a_missing_server_is_named(tmp_path):
    with LoopbackServer({}) as gone:
        url = gone.url
    assert "the connection was refused" in refused(tmp_path, url + "/a.bin")
    assert "the server's name cannot be resolved" in refused(tmp_path, "http://no-such-server.invalid/a.bin")


def test_a_full_disk_is_named_and_nothing_is_left(server, tmp_path, monkeypatch):
    url = server.url + "/a.bin"
    folder = tmp_path / "data"
    folder.mkdir()
    part = folder / f"a.bin.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
    part.symlink_to("/dev/full")  # every write fails as on a full disk
    part.with_name(part.name + ".etag").write_text('"v1"')
    server.etag = '"v1"'
    with pytest.raises(OSError) as error:
        fetch_into(tmp_path, url)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(part)) and not entries(tmp_path)

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(OSError, match="a.bin needs 0.0 GB, but only 0.0 GB are free") as error:
        fetch_into(tmp_path, url)
    assert error.value.errno == errno.ENOSPC and not entries(tmp_path)


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
    assert "Google Drive: " in refused(tmp_path, DRIVE + "some_id", leaves=1)  # gdown resumes from it
    monkeypatch.setattr(gdown, "download", too_many)
    assert "Google Drive: Too many users" in refused(tmp_path, DRIVE + "some_id")
    monkeypatch.setattr(gdown, "download", download)
    assert fetch_into(tmp_path, DRIVE + "some_id").read_bytes() == CONTENT
    assert entries(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("form", [str, lambda seconds: email.utils.formatdate(time.time() + seconds, usegmt=True)])
def test_a_short_retry_after_is_obeyed_and_reported(form, server, tmp_path, capsys, monkeypatch):
    waits = []
    monkeypatch.setattr(downloads.time, "sleep", waits.append)
    server.statuses, server.retry_after = [429, 503], form(21)
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
    assert len(waits) == 2 and all(19 < seconds <= 21 for seconds in waits)
    told = capsys.readouterr().out
    assert "busy (429); retrying in 2" in told and "busy (503)" in told
    (tmp_path / "data" / "a.bin").unlink()
    server.statuses, server.retry_after = [429], form(3600)
    assert "too many requests; try again later) and asks us to wait 3" in refused(tmp_path, server.url + "/a.bin")
    assert len(waits) == 2


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # the example of the standard, FIPS 180-2
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_progress_is_shown(server, tmp_path, capfd):
    fetch_into(tmp_path, server.url + "/a.bin")
    assert "a.bin: 100%" in capfd.readouterr().err


def test_a_server_that_never_answers_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    server.delay = 30
    started = time.monotonic()
    assert "did not respond in time" in refused(tmp_path, server.url + "/a.bin")
    assert time.monotonic() - started < 5


def test_a_server_that_sends_byte_by_byte_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE", 0.3)
    server.drip = 0.05
    started = time.monotonic()
    assert "the server is too slow" in refused(tmp_path, server.url + "/a.bin")
    assert time.monotonic() - started < 5


def test_a_closed_port_is_noticed_at_once(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening
        assert "refused" in refused(tmp_path, f"http://127.0.0.1:{unused.getsockname()[1]}/a.bin")


def test_a_file_that_is_too_large_for_the_disk_is_named(server, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))  # a file may not grow past this
    try:
        with pytest.raises(OSError, match="File too large.*a.bin"):
            fetch_into(tmp_path, server.url + "/a.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not entries(tmp_path)


def test_an_invalid_address_is_shown_in_the_error(tmp_path):
    assert "unknown URL type" in refused(tmp_path, "somewhere/a.bin")


def test_only_one_of_several_processes_fetches_a_file(server, tmp_path, capsys):
    server.delay = 0.5
    both = [threading.Thread(target=fetch_into, args=(tmp_path, server.url + "/a.bin")) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(server.requests) == 1 and "another process is downloading" in capsys.readouterr().out


def hold(file, held):
    with locks.one_at_a_time(file, ""):
        held.set()
        time.sleep(60)


def test_the_lock_of_a_process_that_is_killed_is_free(server, tmp_path):
    held = multiprocessing.Event()
    other = multiprocessing.Process(target=hold, args=(tmp_path / "data" / ".a.bin.lock", held))
    other.start()
    assert held.wait(30)
    other.kill()
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
