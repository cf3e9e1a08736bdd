"""The names that class-agnostic training chooses from."""

import csv
import io
from pathlib import Path

from ..atomic_files import atomic_path
from ..downloads import cache_dir

OPEN_IMAGES_URL = "https://storage.googleapis.com/openimages/v7/oidv7-class-descriptions.csv"
OPEN_IMAGES_LEAST = 20_000  # names; the published list has 20,9xx, and a shorter file is not it
TIMEOUT = 20  # seconds without an answer


def load_vocabulary(name: str = "", open_images_url: str = OPEN_IMAGES_URL) -> list[str]:
    """Distinct, non-empty names in the order of the file.

    Args:
        name: a text file with a name a line, or a CSV with a column ClassName or DisplayName; empty: Open Images'
            class list (Kuznetsova et al., IJCV 2020), fetched once into the cache.

    Raises:
        FileNotFoundError: if the file does not exist.
        ConnectionError: if the list has to be fetched and cannot be, or what came is not the list.
        ValueError: if a file holds no names.
    """
    if name and not Path(name).is_file():
        raise FileNotFoundError(
            f"TRAINER.KDPL.VOCABULARY is {name!r}: no such file. Name a text file with one class name a line, "
            "or leave it empty for the names of Open Images."
        )
    file = Path(name) if name else open_images_file(open_images_url)
    names = _names(file.read_text(encoding="utf-8-sig"))
    if not names:
        raise ValueError(f"The vocabulary {file} holds no names. It needs one class name a line.")
    return names


def open_images_file(url: str = OPEN_IMAGES_URL) -> Path:
    """The cached class list of Open Images V7; fetched and checked if it is not there yet."""
    file = cache_dir() / Path(url).name
    if file.is_file():
        return file
    import requests  # rarely needed, and not every environment has it

    by_hand = f"Fetch {url} by hand and put it at {file}, or set TRAINER.KDPL.VOCABULARY to a file of your own."
    try:
        answer = requests.get(url, timeout=TIMEOUT)
        answer.raise_for_status()
        answer.encoding = "utf-8"
        n_names = len(_names(answer.text))
    except requests.RequestException as error:
        raise ConnectionError(f"The class list of Open Images could not be fetched: {error}. {by_hand}") from error
    if not answer.text.lstrip("\ufeff").startswith("LabelName,DisplayName") or n_names < OPEN_IMAGES_LEAST:
        raise ConnectionError(
            f"What {url} served is not the class list of Open Images ({len(answer.content)} bytes, {n_names} names "
            f"instead of over {OPEN_IMAGES_LEAST}). {by_hand}"
        )
    with atomic_path(file) as temporary:
        temporary.write_bytes(answer.content)
    return file


def _names(text: str) -> list[str]:
    rows = list(csv.reader(io.StringIO(text)))
    header = rows[0] if rows else []
    for column in ("ClassName", "DisplayName"):
        if column in header:
            names = [row[header.index(column)] for row in rows[1:] if len(row) == len(header)]
            break
    else:
        names = text.splitlines()
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))
