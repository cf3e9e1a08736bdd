"""The names that class-agnostic training chooses from."""

from pathlib import Path

from ..downloads import RemoteFile, cache_dir, download
from ..offline import Missing, is_offline
from ..outside import csv_rows, read_text

OPEN_IMAGES_URL = "https://storage.googleapis.com/openimages/v7/oidv7-class-descriptions.csv"
OPEN_IMAGES_LEAST = 20_000  # names; the published list has 20,9xx, and a shorter file is not it


def load_vocabulary(name: str = "", open_images_url: str = OPEN_IMAGES_URL) -> list[str]:
    """Distinct, non-empty names in the order of the file.

    Args:
        name: a text file with one name per line, or a CSV with a column ClassName or DisplayName; empty: Open Images'
            class list (Kuznetsova et al., IJCV 2020), fetched once into the cache.

    Raises:
        FileNotFoundError: if the file does not exist.
        ConnectionError: if the list has to be fetched and cannot be, or what came is not the list.
        ValueError: if a file holds no names.
    """
    if name and not Path(name).exists():
        raise FileNotFoundError(
            f"TRAINER.KDPL.VOCABULARY is {name!r}: no such file. Name a text file with one class name per line, "
            "or leave it empty for the names of Open Images."
        )
    file = Path(name) if name else open_images_file(open_images_url)
    names = _names(read_text(file, "file of class names"), file)
    if not names:
        raise ValueError(f"The vocabulary {file} holds no names. It needs one class name per line.")
    return names


class ClassList(RemoteFile):
    """The class list of Open Images V7."""

    def fault(self, path: Path) -> str | None:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        n_names = len(_names(text, path)) if text.startswith("LabelName,DisplayName") else 0
        if text.startswith("LabelName,DisplayName") and n_names >= OPEN_IMAGES_LEAST:
            return None
        return (
            f"what arrived is not the class list of Open Images ({path.stat().st_size} bytes, {n_names} names instead "
            f"of over {OPEN_IMAGES_LEAST})"
        )


def open_images_file(url: str = OPEN_IMAGES_URL) -> Path:
    """The cached class list of Open Images V7; fetched and checked if it is not there yet."""
    file = cache_dir() / Path(url).name
    if not file.is_file():
        if is_offline():
            raise Missing([f"the class list of Open Images: {file}"], ["vocabulary"])
        advice = "TRAINER.KDPL.VOCABULARY, or --vocabulary of kdpl train, may also name a file of your own."
        download(ClassList(file.name, (url,), by_hand=advice), file)
    return file


def _names(text: str, file: Path) -> list[str]:
    header = text.split("\n", 1)[0].strip().split(",")
    column = next((column for column in ("ClassName", "DisplayName") if column in header), None)
    if column is None:
        names = text.splitlines()
    else:
        names = [row[header.index(column)] for _, row in csv_rows(text, file)][1:]
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))
