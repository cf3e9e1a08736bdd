"""The vocabulary of class-agnostic training."""

from pathlib import Path

from ..downloads import RemoteFile, cache_dir, download
from ..offline import Missing, is_offline
from ..outside import csv_rows, read_text

OPEN_IMAGES_URL = "https://storage.googleapis.com/openimages/v7/oidv7-class-descriptions.csv"
OPEN_IMAGES_LEAST = 20_000  # names; the published list has over 20,900, so a shorter file is incomplete


def load_vocabulary(name: str = "", open_images_url: str = OPEN_IMAGES_URL) -> list[str]:
    """Distinct, non-empty names in the order of the file.

    Args:
        name: a text file with one name per line, or a CSV with a column ClassName or DisplayName; empty for the class
            list of Open Images (Kuznetsova et al., IJCV 2020), which is downloaded once.

    Raises:
        FileNotFoundError: if the file does not exist.
        ConnectionError: if the class list of Open Images cannot be downloaded, or another file arrived.
        ValueError: if a file contains fewer than two names.
    """
    if name and not Path(name).exists():
        raise FileNotFoundError(
            f"TRAINER.KDPL.VOCABULARY is {name!r}, which does not exist. Pass a text file with one class name per "
            "line, or leave it empty for the classes of Open Images."
        )
    file = Path(name) if name else open_images_file(open_images_url)
    names = read_class_names(file)
    if len(names) < 2:
        raise ValueError(f"The vocabulary {file} contains only {names[0]!r}; at least two names are needed.")
    return names


def read_class_names(file: Path) -> list[str]:
    """The names in a file, as :func:`load_vocabulary` reads them; at least one.

    Raises:
        FileNotFoundError, ValueError: if the file does not exist, is not text, or contains no names.
    """
    names = _names(read_text(file, "file of class names"), file)
    if not names:
        raise ValueError(f"{file} contains no class names. It needs one class name per line.")
    return names


class ClassList(RemoteFile):
    """The class list of Open Images V7."""

    def fault(self, path: Path) -> str | None:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        n_names = len(_names(text, path)) if text.startswith("LabelName,DisplayName") else 0
        if text.startswith("LabelName,DisplayName") and n_names >= OPEN_IMAGES_LEAST:
            return None
        return (
            f"the downloaded file is not the class list of Open Images ({path.stat().st_size} bytes, {n_names} names "
            f"instead of over {OPEN_IMAGES_LEAST})"
        )


def open_images_file(url: str = OPEN_IMAGES_URL) -> Path:
    """The cached class list of Open Images V7, downloaded and checked if necessary."""
    file = cache_dir() / Path(url).name
    if not file.is_file():
        if is_offline():
            raise Missing([f"the class list of Open Images: {file}"], ["vocabulary"])
        advice = "You can also use your own file with TRAINER.KDPL.VOCABULARY, or with --vocabulary in kdpl train."
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
