"""Image files: which ones a folder holds, and their pixels."""

import os
from collections.abc import Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from ..outside import check_file, fault_of_kind

IMAGE_SUFFIXES = (  # in any case; what Pillow cannot read of them is named and not passed over
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
NAMED = 10  # files in one message
MOST_THREADS = 16  # each holds one decoded image


def list_images(folder: str | os.PathLike) -> list[Path]:
    """All image files below a folder, sorted by path; hidden files and folders are left out.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no images.
    """
    found = list(walk_images(folder))
    if not found:
        raise ValueError(no_images_in(folder))
    return found


def walk_images(folder: str | os.PathLike) -> Iterator[Path]:
    """What :func:`list_images` lists, in the same order, without keeping it in memory.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder.absolute()}. Name one with images, or list their paths.")
    with os.scandir(folder) as entries:
        found = sorted((entry.name, _is_folder(entry), entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder, may_enter in found:
        if may_enter and not name.startswith("."):
            yield from walk_images(folder / name)
        elif not is_folder and is_image_name(name):
            yield folder / name


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def no_images_in(place: str | os.PathLike) -> str:
    """The message about a folder or an archive without images."""
    return f"{Path(place).absolute()} holds no images; looked for endings {', '.join(IMAGE_SUFFIXES)}."


def is_image_name(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def read_image(path: str | os.PathLike, content: BinaryIO | None = None) -> Image.Image:
    """The picture in a file, RGB.

    Args:
        content: the bytes, where they are not those of the file called ``path``, such as a member of an archive.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read as an image.
    """
    if content is None:
        check_file(path, "image")  # opening a pipe would wait for ever
    try:
        with Image.open(content or path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no format of an image" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{path} cannot be read as an image ({reason}). Repair or remove it.") from error


def unreadable_images(paths: Sequence[str | os.PathLike], whole: bool = False) -> dict[str, str]:
    """Why files are not images, by path.

    Args:
        whole: decode them, which takes about a millisecond for each photo; otherwise only headers are looked at.
    """
    with ThreadPool(min(MOST_THREADS, 2 * (os.cpu_count() or 1))) as pool:
        faults = pool.map(image_fault if whole else _header_fault, paths)
    return {str(path): fault for path, fault in zip(paths, faults, strict=True) if fault}


def _header_fault(path: str | os.PathLike) -> str | None:
    if kind := fault_of_kind(path):
        return kind
    try:
        with Image.open(path) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error)
    return None


def image_fault(path: str | os.PathLike) -> str | None:
    """Why an image cannot be decoded, in a few words; None if it can."""
    if kind := fault_of_kind(path):
        return kind
    try:
        if not os.stat(path).st_size:
            return "empty, 0 bytes"
        with Image.open(path) as image:
            image.draft("RGB", (1, 1))  # of a JPEG every byte is read, but at an eighth of its size
            image.load()
            if image.mode in ("I", "F") and image.format != "PNG":  # a PNG of mode I has 16 bits, which can be read
                return f"pixels of 32 bits (mode {image.mode}): save it with 8"
            return None
    except UnidentifiedImageError:
        return "not an image, or of a kind that Pillow cannot read"
    except Exception as error:  # broken files make Pillow's decoders raise nearly anything
        return str(error) or type(error).__name__


def check_images(paths: Sequence[str | os.PathLike]) -> None:
    """Refuse files that :func:`unreadable_images` finds.

    Raises:
        ValueError: naming the files that are not images, or are missing.
    """
    problems = [f"{path}: {reason}" for path, reason in unreadable_images(paths).items()]
    if problems:
        more = f"\n  and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise ValueError(
            f"{len(problems)} of {len(paths)} images cannot be read; repair or remove them:\n  "
            + "\n  ".join(problems[:NAMED])
            + more
        )
