"""Downloads that end with a complete, verified file or with one message that says what to do."""

import email.utils
import errno
import glob
import hashlib
import http.client
import os
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from .atomic_files import naming
from .google_drive import DRIVE, fetch_from_drive
from .locks import one_at_a_time
from .offline import is_offline
from .remote_files import RemoteFile

TIMEOUT = 20  # seconds to wait for the next byte, or for the complete response headers
SLOWEST, PATIENCE = 1000, 20  # give up below this many bytes per second, averaged over this many seconds
CONNECTIONS = 20  # connections per file; each resumes where the previous one broke off
STARTS = 3  # attempts from the first byte, with a server that cannot resume
MOST_BYTES = 2**31  # limit for a file whose size neither we nor the server knows
BUSY = (429, 500, 502, 503, 504)  # temporary errors
BUSY_RETRIES, BACKOFF = 4, 1.0  # retries after 1, 2, 4 and 8 times BACKOFF seconds
LONGEST_WAIT, CHUNK = 60, 1 << 18  # seconds, whatever the server asks for; bytes
NUMBER = re.compile(r"[0-9]{1,15}")
MEANINGS = {
    401: "login required",
    403: "access denied; it may require a login or a browser",
    404: "the file no longer exists",
    410: "the file no longer exists",
    429: "too many requests; try again later",
}


def cache_dir() -> Path:
    """``$XDG_CACHE_HOME/kdpl`` or ``~/.cache/kdpl``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kdpl"


def download(file: RemoteFile, path: Path, by_hand: Path | None = None) -> None:
    """Write ``file`` to ``path``, which appears only once the file is complete and verified.

    If several processes want the same file, one downloads it and the others wait. A partial download is kept beside
    ``path`` only if the server is able to resume it.

    Args:
        by_hand: where error messages tell the user to put the file, if not at ``path``.

    Raises:
        ConnectionError: if every mirror failed or KDPL_OFFLINE is set; the message explains the manual download.
        OSError: if the disk is full.
    """
    reasons = []
    waiting = f"  another process is downloading {path}; waiting for it to finish"
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
            except OSError as error:  # a disk error: another mirror would not help
                _discard(part)
                raise OSError(error.errno, error.strerror, error.filename or str(path)) from error
            finally:
                if not _tag_of(part).exists():
                    part.unlink(missing_ok=True)
    raise ConnectionError(file.manual_route(by_hand or path, reasons))


def _finish(part: Path, path: Path) -> None:
    with open(part, "rb") as file:
        os.fsync(file.fileno())  # a power cut must not leave a renamed but empty file
    os.replace(part, path)
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.part*"):  # of all mirrors
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _fetch_from_server(url: str, part: Path, file: RemoteFile) -> None:
    """Download into ``part``, resuming if it already holds the beginning of the same version of the file."""
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
    """Request the missing bytes; returns the response, whatever its status."""
    headers, tag = {"User-Agent": "kdpl"}, _tag_of(part)
    if have:
        headers["Range"] = f"bytes={have}-"
    if have and tag.exists():
        headers["If-Range"] = tag.read_text(encoding="utf-8")
    if not url.startswith(("http://", "https://")):
        raise ConnectionError("unknown URL type: an address starts with http:// or https://")
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(urlopen(Request(url, headers=headers), timeout=TIMEOUT))
        except HTTPError as answer:
            answers.append(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: not an address
            answers.append(ConnectionError(str(error) or type(error).__name__))

    asking = threading.Thread(target=ask, daemon=True)  # headers that trickle in byte by byte never hit the timeout
    asking.start()
    asking.join(TIMEOUT + 1)
    if not answers or isinstance(answers[0], ConnectionError):
        raise answers[0] if answers else ConnectionError("timed out")
    return answers[0]


def _wait(response: http.client.HTTPResponse | HTTPError, seconds: float, left: float) -> float:
    """Wait as long as a busy server asks for; returns the seconds.

    Raises:
        ConnectionError: if that is longer than ``left``.
    """
    asked = response.headers.get("Retry-After", "")
    if NUMBER.fullmatch(asked):
        seconds = int(asked)
    elif date := email.utils.parsedate_tz(asked):
        seconds = max(0.0, email.utils.mktime_tz(date) - time.time())
    if seconds > left:
        meaning = MEANINGS.get(response.status, response.reason)
        raise ConnectionError(
            f"the server answered {response.status} ({meaning}) and asks us to wait {seconds:.0f} seconds"
        )
    print(f"  the server is busy ({response.status}); retrying in {seconds:.0f} seconds", flush=True)
    time.sleep(seconds)
    return seconds


def _take(
    response: http.client.HTTPResponse | HTTPError, part: Path, file: RemoteFile, have: int, progress: tqdm
) -> tuple[bool, int]:
    """Add a response to ``part``; returns whether the file is now complete, and its announced size or 0."""
    status, tag = response.status, _tag_of(part)
    if status == 416:  # no bytes after those we have
        if response.headers.get("Content-Range", "").removeprefix("bytes */") == str(have):
            return True, have
        _discard(part)  # we have part of a different, longer file
        return False, have
    if status >= 300:
        if status not in BUSY:  # a busy server may resume later
            _discard(part)
        meaning = "its redirects do not lead to a file" if status < 400 else MEANINGS.get(status, response.reason)
        raise ConnectionError(f"the server answered {status} ({meaning})")
    if response.headers.get_content_type() == "text/html":
        _discard(part)
        raise ConnectionError("a web page arrived instead of the file (a login, a quota or a filter)")
    version = _version(response)
    same = not tag.exists() or version == tag.read_text(encoding="utf-8")  # some servers ignore If-Range
    continues = status == 206 and same and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    if status == 206 and not continues:
        _discard(part)
        return False, have
    start = have if continues else 0
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if NUMBER.fullmatch(length) else 0
    if file.size and total and total != file.size:
        _discard(part)
        raise ConnectionError(f"the server announces {total:,} bytes, but the file should have {file.size:,}")
    check_space(part.parent, (total - start) * file.space, file.name)
    if version:
        tag.write_text(version, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)
    progress.total, progress.n = total or None, start
    with naming(part), open(part, "ab" if continues else "wb") as content:
        missing = total - start if total else None
        return _receive(response, content, missing, file.size or total or MOST_BYTES, progress), total


def _receive(
    response: http.client.HTTPResponse, content: BinaryIO, missing: int | None, most: int, progress: tqdm
) -> bool:
    """Write the body of a response; returns whether it is complete (without an announced length: whether it ended).

    Raises:
        ConnectionError: if it arrives too slowly, or exceeds ``most`` bytes.
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
            raise ConnectionError(f"it sent more than {most:,} bytes, the limit for this file")
        progress.update(len(chunk))
        received += len(chunk)
        missing = missing and missing - len(chunk)
        if time.monotonic() - since > PATIENCE:
            if received < SLOWEST * PATIENCE:
                raise ConnectionError(f"the server is too slow: {received:,} bytes in {PATIENCE} seconds")
            since, received = time.monotonic(), 0
    return True


def _version(response: http.client.HTTPResponse) -> str:
    """The version of a file: its strong ETag, else its modification time, else an empty string."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if tag.startswith("W/") else tag


def check_space(folder: Path, needed: int, name: str) -> None:
    """Refuse a download that does not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC, f"{name} needs {needed / 2**30:.1f} GB, but only {free / 2**30:.1f} GB are free", str(folder)
        )


def _tag_of(part: Path) -> Path:
    """Holds the version of the file that ``part`` is a part of."""
    return part.with_name(part.name + ".etag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_of(part).unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def in_words(error: Exception) -> str:
    """Why a request to a server failed."""
    text = str(error)
    for sign, words in (
        ("Connection refused", "the connection was refused"),
        ("not known", "the server's name cannot be resolved: there is no network, or the server is gone"),
        ("name resolution", "the server's name cannot be resolved: there is no network"),
        ("timed out", "the server did not respond in time"),
    ):
        if sign in text:
            return words
    return " ".join(text.split())[:300] or type(error).__name__
