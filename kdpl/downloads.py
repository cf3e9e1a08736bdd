"""Downloads that end as a whole, verified file or as one message that says what to do."""

import email.utils
import errno
import glob
import hashlib
import http.client
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from .google_drive import DRIVE, fetch_from_drive
from .locks import one_at_a_time
from .offline import is_offline
from .remote_files import RemoteFile

TIMEOUT = 20  # seconds without a single byte, or without the whole head of an answer
SLOWEST, PATIENCE = 1000, 20  # a server that sends fewer bytes per second, over so many seconds, is given up
CONNECTIONS = 20  # for one file; each but the first continues where the last one broke off
STARTS = 3  # from the first byte, with a server that cannot continue
MOST_BYTES = 2**31  # of a file of which neither we nor the server knows the size
BUSY = (429, 500, 502, 503, 504)  # answers of a server that may give the file later
BUSY_RETRIES, BACKOFF = 4, 1.0  # how often it is asked again, after 1, 2, 4, 8 times BACKOFF seconds
LONGEST_WAIT, CHUNK = 60, 1 << 18  # seconds, whatever a server asks for; bytes
MEANINGS = {
    401: "it wants a login",
    403: "it refuses this, and may want a login or a browser",
    404: "the file is not there any more",
    410: "the file is not there any more",
    429: "too many requests: try again later",
}


def cache_dir() -> Path:
    """``$XDG_CACHE_HOME/kdpl`` or ``~/.cache/kdpl``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kdpl"


def download(file: RemoteFile, path: Path, by_hand: Path | None = None) -> None:
    """Write ``file`` to ``path``, which appears only when the whole file has arrived and is what it should be.

    Of several processes that want it, one fetches and the others wait. A download that broke off is kept beside
    ``path`` only if the server can continue from there the next time.

    Args:
        by_hand: where the message of an error says to put the file, if not at ``path``.

    Raises:
        ConnectionError: if no mirror gave the file, or none may be asked (KDPL_OFFLINE); what can be done by hand.
        OSError: if the disk is full.
    """
    reasons = []
    waiting = f"  another process fetches {path}: waiting until it is done"
    with one_at_a_time(path.with_name(f".{path.name}.lock"), waiting):
        if path.is_file() and file.fault(path) is None:
            return
        for url in () if is_offline() else file.urls:
            part = path.with_name(f"{path.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
            try:
                if url.startswith(DRIVE):
                    fetch_from_drive(url, part, file.name, TIMEOUT)
                else:
                    _fetch_from_server(url, part, file)
                if fault := file.fault(part):
                    _discard(part)
                    raise ConnectionError(fault)
                _finish(part, path)
                return
            except ConnectionError as error:
                reasons.append(f"  {url}: {in_words(error)}")
            except OSError as error:  # the disk: another mirror does not help
                _discard(part)
                raise OSError(error.errno, error.strerror, error.filename or str(path)) from error
            finally:
                if not _tag_of(part).exists():
                    part.unlink(missing_ok=True)
    raise ConnectionError(file.manual_route(by_hand or path, reasons))


def _finish(part: Path, path: Path) -> None:
    with open(part, "rb") as file:
        os.fsync(file.fileno())  # a machine that loses power must not leave a renamed, empty file
    os.replace(part, path)
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.part*"):  # of this mirror and of others
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _fetch_from_server(url: str, part: Path, file: RemoteFile) -> None:
    """Download into ``part``; what it holds already from the same version of the file is not fetched again."""
    if not _tag_of(part).exists():
        part.unlink(missing_ok=True)
    idle = busy = total = starts = 0
    waited = 0.0
    with tqdm(desc=file.name, unit="B", unit_scale=True, unit_divisor=1024) as progress:
        for _ in range(CONNECTIONS):
            have = _size(part)
            try:
                response = _ask(url, part, have)
            except ConnectionError:
                idle += 1
                if idle == 2:
                    raise
                continue
            with response:
                if response.status in BUSY and busy < BUSY_RETRIES:
                    busy += 1
                    waited += _wait(response, BACKOFF * 2 ** (busy - 1), LONGEST_WAIT - waited)
                    continue
                complete, total = _take(response, part, file, have, progress)
            if complete:
                return
            idle = idle + 1 if _size(part) <= have else 0
            starts += response.status == 200
            if idle == 2 or starts == STARTS:
                break
    of_total = f" of {total:,}" if total else ""
    raise ConnectionError(f"the connection broke off after {_size(part):,}{of_total} bytes")


def _ask(url: str, part: Path, have: int) -> http.client.HTTPResponse | HTTPError:
    """The server's answer to the request for what is missing, whatever its status."""
    headers, tag = {"User-Agent": "kdpl"}, _tag_of(part)
    if have:
        headers["Range"] = f"bytes={have}-"
    if have and tag.exists():
        headers["If-Range"] = tag.read_text(encoding="utf-8")
    if not url.startswith(("http://", "https://")):
        raise ConnectionError("unknown url type: an address begins with http:// or https://")
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(urlopen(Request(url, headers=headers), timeout=TIMEOUT))
        except HTTPError as answer:
            answers.append(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: not an address
            answers.append(ConnectionError(str(error) or type(error).__name__))

    asking = threading.Thread(target=ask, daemon=True)  # a head that comes byte by byte never runs into the timeout
    asking.start()
    asking.join(TIMEOUT + 1)
    if not answers or isinstance(answers[0], ConnectionError):
        raise answers[0] if answers else ConnectionError("timed out")
    return answers[0]


def _wait(response: http.client.HTTPResponse | HTTPError, seconds: float, left: float) -> float:
    """Give a busy server the time that it asks for, if that is short, and say so; returns the seconds.

    Raises:
        ConnectionError: if it is longer than is left.
    """
    asked = response.headers.get("Retry-After", "")
    if asked.isdecimal():
        seconds = int(asked)
    elif date := email.utils.parsedate_tz(asked):
        seconds = max(0.0, email.utils.mktime_tz(date) - time.time())
    if seconds > left:
        meaning = MEANINGS.get(response.status, response.reason)
        raise ConnectionError(
            f"the server answered {response.status} ({meaning}) and asks to wait {seconds:.0f} seconds"
        )
    print(f"  the server is busy ({response.status}): asking it again in {seconds:.0f} seconds", flush=True)
    time.sleep(seconds)
    return seconds


def _take(
    response: http.client.HTTPResponse | HTTPError, part: Path, file: RemoteFile, have: int, progress: tqdm
) -> tuple[bool, int]:
    """Add to ``part`` what an answer brings; whether that was all, and how large the file is said to be."""
    status, tag = response.status, _tag_of(part)
    if status == 416:  # there is nothing after what we have
        if response.headers.get("Content-Range", "").removeprefix("bytes */") == str(have):
            return True, have
        _discard(part)  # it was another, longer file
        return False, have
    if status >= 300:
        if status not in BUSY:  # then it may continue from here later
            _discard(part)
        meaning = "its redirects lead nowhere" if status < 400 else MEANINGS.get(status, response.reason)
        raise ConnectionError(f"the server answered {status} ({meaning})")
    if response.headers.get_content_type() == "text/html":
        _discard(part)
        raise ConnectionError("a web page came in place of the file (a login, a quota or a filter)")
    version = _version(response)
    same = not tag.exists() or version == tag.read_text(encoding="utf-8")  # some servers do not look at If-Range
    continues = status == 206 and same and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    if status == 206 and not continues:
        _discard(part)
        return False, have
    start = have if continues else 0
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() else 0
    if file.size and total and total != file.size:
        _discard(part)
        raise ConnectionError(f"the server announces {total:,} bytes; the file has {file.size:,}")
    check_space(part.parent, (total - start) * file.space, file.name)
    if version:
        tag.write_text(version, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)
    progress.total, progress.n = total or None, start
    with open(part, "ab" if continues else "wb") as content:
        missing = total - start if total else None
        return _receive(response, content, missing, file.size or total or MOST_BYTES, progress), total


def _receive(
    response: http.client.HTTPResponse, content: BinaryIO, missing: int | None, most: int, progress: tqdm
) -> bool:
    """Write what arrives; whether nothing is missing then, which without an announced length only its end tells.

    Raises:
        ConnectionError: if it arrives too slowly, or is more than ``most`` bytes.
    """
    since, received = time.monotonic(), 0
    while missing is None or missing > 0:
        try:
            chunk = response.read1(CHUNK if missing is None else min(CHUNK, missing))
        except (OSError, http.client.HTTPException):
            return False
        if not chunk:
            return missing is None
        content.write(chunk)
        if content.tell() > most:
            raise ConnectionError(f"more than the {most:,} bytes came that the file may have")
        progress.update(len(chunk))
        received += len(chunk)
        missing = missing and missing - len(chunk)
        if time.monotonic() - since > PATIENCE:
            if received < SLOWEST * PATIENCE:
                raise ConnectionError(f"the server is too slow: {received:,} bytes in {PATIENCE} seconds")
            since, received = time.monotonic(), 0
    return True


def _version(response: http.client.HTTPResponse) -> str:
    """What tells this version of a file from another: a strong tag, or the time of its change; empty without both."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if tag.startswith("W/") else tag


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


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def in_words(error: Exception) -> str:
    """Why a server could not be asked."""
    text = str(error)
    for sign, words in (
        ("Connection refused", "the connection was refused"),
        ("not known", "the server's name is not known here: there is no network, or the server is gone"),
        ("name resolution", "the server's name is not known here: there is no network"),
        ("timed out", "the server did not answer in time"),
    ):
        if sign in text:
            return words
    return " ".join(text.split())[:300] or type(error).__name__
