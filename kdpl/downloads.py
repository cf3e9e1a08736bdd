"""Downloads that end as a whole, verified file or as one message that says what to do."""

import hashlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

from tqdm import tqdm

from .atomic_files import atomic_path

TIMEOUT = 10  # seconds without a single byte
ATTEMPTS = 20  # connections for one file; each but the first goes on where the last one broke off


def cache_dir() -> Path:
    """``$XDG_CACHE_HOME/kdpl`` or ``~/.cache/kdpl``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kdpl"


def sha256_of(path: str | os.PathLike) -> str:
    """SHA256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download_verified(url: str, path: str | os.PathLike, sha256: str, advice: str = "") -> None:
    """Fetch ``url`` into ``path``, which appears only when the whole file has arrived with the right hash.

    Args:
        url: http or https address.
        path: the file to write; folders above it are made.
        sha256: what the file's bytes must hash to, in hexadecimal.
        advice: sentences for the message of an error: what else can be done than putting the file there by hand.

    Raises:
        ConnectionError: whatever went wrong, from the network to a full disk. Nothing half-written is left behind.
    """
    path = Path(path)
    try:
        with atomic_path(path) as temporary:
            received = _fetch(url, temporary, path.name)
            if received != sha256:
                raise ConnectionError(f"what arrived has the SHA256 {received}, not {sha256}")
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: not an address
        raise ConnectionError(
            f"{path.name} could not be fetched: {error}. Looked for the file {path}, then for {url} . "
            f"Check the connection and start again, or put the file there by hand. {advice}".rstrip()
        ) from error


def _fetch(url: str, path: Path, title: str) -> str:
    """Download into ``path`` with a progress bar; a connection that breaks off is taken up where it broke.

    Returns:
        SHA256 of what arrived.
    """
    digest, received, total = hashlib.sha256(), 0, None
    with open(path, "wb") as file, tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1024) as progress:
        for _ in range(ATTEMPTS):
            started_at = received
            request = Request(url, headers={"Range": f"bytes={received}-"} if received else {})
            with urlopen(request, timeout=TIMEOUT) as response:
                if response.headers.get_content_type() == "text/html":
                    raise ConnectionError("a web page was served in its place (a login page, or a filter)")
                if received and response.status != http.client.PARTIAL_CONTENT:  # it starts at the first byte again
                    digest, received, started_at = hashlib.sha256(), 0, 0
                    file.seek(0)
                    file.truncate()
                    progress.reset()
                length = response.headers["Content-Length"]
                progress.total = total = received + int(length) if length else None
                for chunk in _chunks(response):
                    file.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    progress.update(len(chunk))
            if total is None or received >= total:
                return digest.hexdigest()
            if received == started_at:
                break
    raise ConnectionError(f"the connection broke off after {received:,} of {total:,} bytes")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What a response brings until it ends or breaks off."""
    while True:
        try:
            chunk = response.read1(1 << 18)
        except (OSError, http.client.HTTPException):
            return
        if not chunk:
            return
        yield chunk
