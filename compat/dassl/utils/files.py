"""Folders, JSON and images on disk."""

import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image


def mkdir_if_missing(dirname: str | os.PathLike) -> None:
    """Create a folder and its parents unless it exists."""
    os.makedirs(dirname or ".", exist_ok=True)


def check_isfile(fpath: str | os.PathLike) -> bool:
    """Whether ``fpath`` is a file; warns if not."""
    if os.path.isfile(fpath):
        return True
    warnings.warn(f'No file found at "{fpath}"', stacklevel=2)
    return False


def listdir_nohidden(path: str | os.PathLike, sort: bool = False) -> list[str]:
    """Names in a folder, without those that start with a dot."""
    names = [name for name in os.listdir(path) if not name.startswith(".")]
    return sorted(names) if sort else names


def read_json(fpath: str | os.PathLike) -> object:
    """The content of a JSON file.

    Raises:
        ValueError: if the file is not valid JSON, for instance truncated.
    """
    with open(fpath, encoding="utf-8") as file:
        try:
            return json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f"{fpath} is not valid JSON ({error}); fetch or write it again") from error


def write_json(obj: object, fpath: str | os.PathLike) -> None:
    """Atomically write ``obj`` as indented JSON."""
    with replaced_when_complete(fpath) as temporary:
        temporary.write_text(json.dumps(obj, indent=4), encoding="utf-8")


def read_image(path: str | os.PathLike) -> Image.Image:
    """An image file as a PIL image in RGB.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not an image or is truncated.
    """
    with open(path, "rb") as file:
        try:
            with Image.open(file) as image:
                sixteen_bits = image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG")
                if sixteen_bits:  # convert() would clip all values above 255 of 65535
                    image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
                return image.convert("RGB")
        except (OSError, SyntaxError) as error:  # SyntaxError: Pillow on a broken PNG
            raise ValueError(f"{path} cannot be read as an image ({error}); fetch it again") from error


@contextmanager
def replaced_when_complete(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(temporary, 0o666 & ~umask)  # mkstemp creates private files
    os.close(handle)
    try:
        yield Path(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())  # otherwise a power loss could leave an empty file under the final name
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
