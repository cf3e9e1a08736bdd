"""Image files: which ones a folder holds, and their pixels."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

IMAGE_SUFFIXES = (  # in any case; what Pillow cannot read of them is named and not passed over
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
NAMED = 10  # files in one message


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
        found += [Path(place, name) for name in names if is_image_name(name)]
    if not found:
        raise ValueError(f"{folder.absolute()} holds no images; looked for endings {', '.join(IMAGE_SUFFIXES)}.")
    return sorted(found)


def is_image_name(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


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


def check_images(paths: Sequence[str | os.PathLike]) -> None:
    """Look at every file's header, without decoding pixels.

    Raises:
        ValueError: naming the files that are not images, or are missing.
    """
    problems = []
    for path in paths:
        try:
            with Image.open(path) as image:
                image.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            problems.append(f"{path}: {error}")
    if problems:
        more = f"\n  and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise ValueError(
            f"{len(problems)} of {len(paths)} images cannot be read; repair or remove them:\n  "
            + "\n  ".join(problems[:NAMED])
            + more
        )
