"""Downloads from Google Drive, through gdown."""

import os
import shutil
from pathlib import Path

DRIVE = "https://drive.google.com/file/d/"  # the beginning of such URLs


def fetch_from_drive(url: str, part: Path, name: str, timeout: float) -> None:
    """Download into ``part``; gdown resumes after a lost connection.

    Raises:
        ConnectionError: if Google does not serve the file.
        OSError: if the disk is full.
    """
    import gdown
    import requests
    from gdown.exceptions import DownloadError

    folder = part.with_name(part.name + ".drive")  # holds gdown's partial files
    try:
        folder.mkdir(exist_ok=True)
        arrived = gdown.download(
            id=url.removeprefix(DRIVE), output=str(folder / name), use_cookies=False, timeout=timeout, resume=True
        )
        if arrived is None:
            raise DownloadError("it returned nothing")
        os.replace(arrived, part)
    except requests.RequestException as error:
        raise ConnectionError(f"Google Drive: {error}") from error
    except (DownloadError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):  # the disk
            raise
        raise ConnectionError(f"Google Drive: {error}") from error
    shutil.rmtree(folder, ignore_errors=True)
