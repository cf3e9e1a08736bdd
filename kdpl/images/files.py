"""Finding, checking and reading image files."""

import os
from collections.abc import Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from ..outside import check_file, fault_of_kind

IMAGE_SUFFIXES = (  # case-insensitive; files that Pillow cannot read are reported, not silently skipped
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
NAMED = 10  # files listed in one message
MOST_THREADS = 16  # each holds one decoded image


def list_images(folder: str | os.PathLike) -> list[Path]:
    """All image files below a folder, sorted by path, except hidden files and folders.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it contains no images.
    """
    found = list(walk_images(folder))
    if not found:
        raise ValueError(no_images_in(folder))
    return found


def walk_images(folder: str | os.PathLike) -> Iterator[Path]:
    """Like :func:`list_images`, but one by one.

    Raises:
        FileNotFoundError: if the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The folder {folder.absolute()} does not exist. Pass a folder of images, or a list of paths."
        )
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
    except OSError:  # a circular link
        return False


def no_images_in(place: str | os.PathLike) -> str:
    """The message for a folder or archive without images."""
    return f"{Path(place).absolute()} contains no images (files ending in {', '.join(IMAGE_SUFFIXES)})."


def is_image_name(name: str) -> bool:
    """Whether a file name looks like an image."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def read_image(path: str | os.PathLike, content: BinaryIO | None = None) -> Image.Image:
    """Read an image file as RGB.

    Args:
        content: the bytes, if they do not come from the file ``path`` itself, such as those of an archive member.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it cannot be read as an image.
    """
    if content is None:
        check_file(path, "image")  # opening a pipe would block
    try:
        with Image.open(content or path) as image:
            return as_rgb(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "unknown image format" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{path} cannot be read as an image ({reason}). Repair or remove it.") from error


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB; grey levels of 16 bits are scaled to 8, where Pillow would clip all above 255."""
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG"):
        image = image.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    return image.convert("RGB")


def unreadable_images(paths: Sequence[str | os.PathLike], whole: bool = False) -> dict[str, str]:
    """Files that cannot be read as images: path -> reason.

    Args:
        whole: decode the whole image, which takes about a millisecond per photo; otherwise check only headers.
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
    """Why an image cannot be decoded, or None."""
    if kind := fault_of_kind(path):
        return kind
    try:
        if not os.stat(path).st_size:
            return "empty, 0 bytes"
        with Image.open(path) as image:
            image.draft("RGB", (1, 1))  # reads every byte of a JPEG, but decodes only an eighth of its size
            image.load()
            if image.mode in ("I", "F") and image.format != "PNG":  # a PNG in mode I has 16 bits, which is fine
                return f"32-bit pixels (mode {image.mode}); save it with 8 bits"
            return None
    except UnidentifiedImageError:
        return "not an image, or in a format that Pillow cannot read"
    except Exception as error:  # broken files can make Pillow's decoders raise almost anything
        return str(error) or type(error).__name__


def check_images(paths: Sequence[str | os.PathLike]) -> None:
    """Refuse files that cannot be read as images, see :func:`unreadable_images`.

    Raises:
        ValueError: naming them.
    """
    problems = [f"{path}: {reason}" for path, reason in unreadable_images(paths).items()]
    if problems:
        more = f"\n  and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise ValueError(
            f"{len(problems)} of {len(paths)} images cannot be read; repair or remove them:\n  "
            + "\n  ".join(problems[:NAMED])
            + more
        )
