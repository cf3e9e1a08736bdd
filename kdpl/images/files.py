"""Image files: which ones a folder holds, and their pixels."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


def list_images(folder: str | os.PathLike) -> list[Path]:
    """All image files below a folder, sorted by path; hidden files and folders are left out.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder.absolute()}. Name one with images, or list their paths.")
    found = []
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(place, name) for name in names if is_image(name)]
    if not found:
        raise ValueError(f"{folder.absolute()} holds no images; looked for files ending in {', '.join(ENDINGS)}.")
    return sorted(found)


def is_image(name: str) -> bool:
    """Whether a file is an image by its name."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def read_image(path: str | os.PathLike) -> Image.Image:
    """The picture in a file, RGB.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image ({error}). Repair or remove it.") from error


def unreadable_images(paths: Sequence[str | os.PathLike]) -> list[str]:
    """What is wrong with each file that cannot be opened as an image, without decoding pixels."""
    problems = []
    for path in paths:
        try:
            with Image.open(path) as image:
                image.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            problems.append(f"{path}: {error}")
    return problems
