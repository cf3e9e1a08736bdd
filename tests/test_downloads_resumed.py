"""Interrupted downloads, and what a later run does with a partial file."""

import pytest

from tests import fetched_files
from tests.fetched_files import CONTENT, entries, fetch_into, refused

impatient, server = fetched_files.impatient, fetched_files.server  # fixtures


def test_a_broken_connection_is_resumed(server, tmp_path):
    server.cuts = [1 << 20, 1 << 19]
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=1048576-", "bytes=1572864-"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.cuts, server.ranges = [1 << 20], False
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT


def test_a_connection_that_always_breaks_is_named(server, tmp_path):
    server.cuts = [1 << 20] + [0] * 50
    assert "the connection broke off after 1,048,576 of 3,000,000 bytes" in refused(tmp_path, server.url + "/a.bin")


@pytest.mark.parametrize("version", [{"etag": '"v1"'}, {"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_a_later_run_continues_a_partial_download(server, tmp_path, version):
    vars(server).update(version, cuts=[1 << 20] + [0] * 50)
    with pytest.raises(ConnectionError, match="broke off"):
        fetch_into(tmp_path, server.url + "/a.bin")
    server.cuts = []
    server.requests.clear()
    path = fetch_into(tmp_path, server.url + "/a.bin")
    assert server.requests == [("/a.bin", "bytes=1048576-")]
    assert path.read_bytes() == CONTENT and entries(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_later_run_does_not_continue_another_version(server, tmp_path, heeds_if_range):
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


def test_a_busy_server_does_not_cost_the_partial_download(server, tmp_path):
    server.cuts, server.etag, server.statuses = [1 << 20], '"v1"', [200] + [503] * 5
    with pytest.raises(ConnectionError, match="the server answered 503"):
        fetch_into(tmp_path, server.url + "/a.bin")
    server.requests.clear()
    assert fetch_into(tmp_path, server.url + "/a.bin").read_bytes() == CONTENT
    assert server.requests == [("/a.bin", "bytes=1048576-")]


def test_partial_downloads_from_other_mirrors_are_deleted_at_the_end(server, tmp_path):
    server.cuts, server.etag = [1 << 20] + [0] * 50, '"v1"'
    with pytest.raises(ConnectionError):
        fetch_into(tmp_path, server.url + "/b.bin")
    server.cuts = []
    fetch_into(tmp_path, server.url + "/a.bin")
    assert entries(tmp_path) == ["a.bin"]


def test_a_partial_download_longer_than_the_file_is_discarded(server, tmp_path):
    server.cuts, server.etag = [1 << 20] + [0] * 50, '"v1"'
    with pytest.raises(ConnectionError):
        fetch_into(tmp_path, server.url + "/a.bin")
    server.files["/a.bin"], server.cuts = CONTENT[:5000], []
    assert fetch_into(tmp_path, server.url + "/a.bin", hash="").read_bytes() == CONTENT[:5000]


def test_an_older_file_is_kept_if_a_new_one_cannot_be_fetched(server, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.bin").write_text("older")
    server.files["/a.bin"] = CONTENT[:-1] + b"x"
    assert "Name another file." in refused(tmp_path, server.url + "/a.bin", leaves=1, by_hand="Name another file.")
    assert (tmp_path / "data" / "a.bin").read_text() == "older"
