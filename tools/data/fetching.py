"""Fetching one file from the first of its mirrors that works, whole and verified or not at all."""

import errno
import glob
import hashlib
import os
import re
import shutil
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from .sources import DRIVE, RemoteFile

TIMEOUT = (10, 30)  # seconds for a connection, and without a byte
CONNECTIONS = 20  # for one file; each but the first goes on where the last one broke off
STATUS_RETRIES, BACKOFF = 4, 1.0  # the waits before asking a busy server again: 0, 2, 4, 8 times BACKOFF seconds
BUSY = (429, 500, 502, 503, 504)  # answers of a server that may give the file later
LONGEST_WAIT = 60  # seconds, whatever a server asks for
CHUNK = 1 << 15  # bytes; what a connection that breaks had of one is fetched again
UNPACKED = 2  # an archive and its content take about so many times the space of the archive
MEANINGS = {
    401: "it wants a login",
    403: "it refuses this, and may want a login or a browser",
    404: "the file is not there any more",
    410: "the file is not there any more",
    429: "too many requests: try again later",
}


def fetch(file: RemoteFile, path: Path, by_hand: Path) -> None:
    """Write ``file`` to ``path``, which appears only when the whole file has arrived and is what it should be.

    A download that broke off is kept beside ``path`` only if the server can go on from there the next time.

    Args:
        by_hand: where the message of an error says to put the file.

    Raises:
        ConnectionError: if no mirror gave the file; every reason, and what can be done by hand.
        OSError: if the disk is full.
    """
    reasons = []
    for url in file.urls:
        part = path.with_name(f"{path.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            (_fetch_from_drive if url.startswith(DRIVE) else _fetch_from_server)(url, part, file)
            verify(part, file)
            os.replace(part, path)
            for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.part*"):  # of this mirror and of others
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            return
        except ConnectionError as error:
            reasons.append(f"  {url}: {error}")
        except OSError:  # the disk: another mirror does not help
            _discard(part)
            raise
        finally:
            if not _tag_of(part).exists():
                part.unlink(missing_ok=True)
    raise ConnectionError(manual_route(file, by_hand, reasons))


def manual_route(file: RemoteFile, by_hand: Path, reasons: list[str]) -> str:
    """What went wrong with each mirror, and how to get the file without this tool."""
    lines = [f"{file.name} could not be fetched:", *reasons] if reasons else [f"{file.name} has to be fetched by hand."]
    if file.by_hand:
        lines.append(file.by_hand)
    if file.urls:
        lines.append("By hand: open one of these in a browser,")
        lines += [f"  {url}" for url in file.urls]
    lines.append(f"put the file at\n  {by_hand}\nand run the same command again.")
    return "\n".join(lines)


def verify(path: Path, file: RemoteFile) -> None:
    """Check size and hash, and that the file is no web page; a wrong file is deleted.

    Raises:
        ConnectionError: if it is not what it should be.
    """
    fault = fault_of(path, file)
    if fault:
        _discard(path)
        raise ConnectionError(fault)


def fault_of(path: Path, file: RemoteFile) -> str | None:
    """Why ``path`` is not ``file``, or None."""
    with open(path, "rb") as content:
        head = content.read(512).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page came in place of the file"
    size = path.stat().st_size
    if file.size and size != file.size:
        return f"{size:,} bytes arrived; the file has {file.size:,}"
    if file.hash:
        kind, expected = file.hash.split(":")
        with open(path, "rb") as content:
            found = _hash(content, kind)
        if found != expected:
            return f"what arrived has the {kind.upper()} hash {found}, not {expected}"
    return "an empty file came" if not size else None


def _hash(content, kind: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    while chunk := content.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


class _Patience(Retry):
    """Asks busy servers again, but does not wait for ever where one says so."""

    def get_retry_after(self, response) -> float | None:
        seconds = super().get_retry_after(response)
        if seconds is None:
            return None
        seconds = min(seconds, LONGEST_WAIT)
        print(f"  the server is busy ({response.status}): asking it again in {seconds:.0f} seconds", flush=True)
        return seconds


def _session() -> requests.Session:
    retry = _Patience(
        total=STATUS_RETRIES,
        connect=1,
        status_forcelist=BUSY,
        backoff_factor=BACKOFF,
        raise_on_status=False,
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.headers["Accept-Encoding"] = "identity"  # places in the file are places in what arrives
    return session


def _fetch_from_server(url: str, part: Path, file: RemoteFile) -> None:
    """Download into ``part``; what it holds already from the same version of the file is not fetched again."""
    if not _tag_of(part).exists():
        part.unlink(missing_ok=True)
    idle = 0
    with _session() as session, tqdm(desc=file.name, unit="B", unit_scale=True, unit_divisor=1024) as progress:
        for _ in range(CONNECTIONS):
            have = part.stat().st_size if part.exists() else 0
            try:
                complete, total = _one_connection(session, url, part, file, have, progress)
            except requests.RequestException as error:
                raise ConnectionError(_in_words(error)) from error
            if complete:
                return
            idle = idle + 1 if part.stat().st_size <= have else 0
            if idle == 2:
                break
    of_total = f" of {total:,}" if total else ""
    raise ConnectionError(f"the connection broke off after {part.stat().st_size:,}{of_total} bytes")


def _one_connection(session, url: str, part: Path, file: RemoteFile, have: int, progress: tqdm) -> tuple[bool, int]:
    """Fetch what is missing over one connection; whether that was all, and how large the file is said to be."""
    headers = {"Range": f"bytes={have}-"} if have else {}
    tag = _tag_of(part)
    if have and tag.exists():
        headers["If-Range"] = tag.read_text(encoding="utf-8")
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # there is nothing after what we have
            if response.headers.get("Content-Range", "").removeprefix("bytes */") == str(have):
                return True, have
            _discard(part)  # it was another, longer file
            part.touch()
            return False, have
        if response.status_code >= 400:
            if response.status_code not in BUSY:  # then it may go on from here later
                _discard(part)
            meaning = MEANINGS.get(response.status_code, response.reason)
            raise ConnectionError(f"the server answered {response.status_code} ({meaning})")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            _discard(part)
            raise ConnectionError("a web page came in place of the file (a login, a quota or a filter)")
        version = _version(response)
        same = not tag.exists() or version == tag.read_text(encoding="utf-8")  # some servers do not look at If-Range
        goes_on = response.status_code == 206 and _first_byte(response) == have and same
        if response.status_code == 206 and not goes_on:
            _discard(part)
            part.touch()
            return False, have
        start = have if goes_on else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else 0
        if file.size and total and total != file.size:
            _discard(part)
            raise ConnectionError(f"the server announces {total:,} bytes; the file has {file.size:,}")
        check_space(part.parent, (total - start) * (UNPACKED if file.moves else 1), file.name)
        if version:
            tag.write_text(version, encoding="utf-8")
        else:
            tag.unlink(missing_ok=True)
        progress.total, progress.n = total or None, start
        broke_off = False
        with open(part, "ab" if goes_on else "wb") as content:
            try:
                for chunk in response.iter_content(CHUNK):
                    content.write(chunk)
                    progress.update(len(chunk))
            except requests.RequestException:
                broke_off = True
        return not broke_off and part.stat().st_size >= total, total


def _version(response: requests.Response) -> str:
    """What tells this version of a file from another: a strong tag, or the time of its change; empty without both."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if tag.startswith("W/") else tag


def _first_byte(response: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _fetch_from_drive(url: str, part: Path, file: RemoteFile) -> None:
    import gdown
    from gdown.exceptions import DownloadError

    # gdown's own partial files stay in a folder of their own; after a lost connection it goes on from them.
    folder = part.with_name(part.name + ".drive")
    try:
        folder.mkdir(exist_ok=True)
        arrived = gdown.download(
            id=url.removeprefix(DRIVE), output=str(folder / file.name), use_cookies=False, timeout=TIMEOUT, resume=True
        )
        if arrived is None:
            raise DownloadError("it gave nothing")
        os.replace(arrived, part)
    except requests.RequestException as error:
        raise ConnectionError(f"Google Drive: {_in_words(error)}") from error
    except (DownloadError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):  # the disk
            raise
        raise ConnectionError(f"Google Drive: {_in_words(error)}") from error
    shutil.rmtree(folder, ignore_errors=True)


def check_space(folder: Path, needed: int, name: str) -> None:
    """Refuse to start what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC, f"{name} needs {needed / 2**30:.1f} GB there, and {free / 2**30:.1f} GB are free", str(folder)
        )


def _tag_of(part: Path) -> Path:
    """Where the version of a file that arrives in ``part`` is noted."""
    return part.with_name(part.name + ".etag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_of(part).unlink(missing_ok=True)


def _in_words(error: Exception) -> str:
    text = str(error)
    for sign, words in (
        ("Connection refused", "the connection was refused"),
        ("Failed to resolve", "the server's name is not known here: there is no network, or the server is gone"),
        ("timed out", "the server did not answer in time"),
        ("Temporary failure in name resolution", "the server's name is not known here: there is no network"),
    ):
        if sign in text:
            return words
    return " ".join(text.split())[:300] or type(error).__name__
