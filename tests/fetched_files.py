"""Downloading a file from the test server, and the errors if that fails."""

import hashlib
import random

import pytest

from kdpl import downloads
from kdpl.downloads import RemoteFile, download
from tests.loopback_server import LoopbackServer

CONTENT = random.Random(0).randbytes(3_000_000)
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(downloads, "BACKOFF", 0.01)


@pytest.fixture
def server():
    with LoopbackServer({"/a.bin": CONTENT, "/b.bin": CONTENT}) as server:
        yield server


def fetch_into(folder, *urls, **facts):
    file = RemoteFile("a.bin", urls, **{"hash": MD5, **facts})
    path = folder / "data" / "a.bin"
    download(file, path)
    return path


def entries(folder):
    """The files in the data folder, except locks."""
    return [path.name for path in (folder / "data").iterdir() if not path.name.endswith(".lock")]


def refused(folder, *urls, leaves=0, **facts):
    """The error if a file cannot be fetched; nothing may be left behind, or only ``leaves`` entries."""
    with pytest.raises(ConnectionError) as error:
        fetch_into(folder, *urls, **facts)
    assert len(entries(folder)) == leaves
    message = str(error.value)
    assert (
        message.startswith("a.bin could not be downloaded:")
        and f"put the file at\n  {folder / 'data' / 'a.bin'}" in message
    )
    assert all(f"\n  {url}\n" in message for url in urls)  # the manual route
    return message
