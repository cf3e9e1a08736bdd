"""Image files in folders, in an order that does not depend on the disk."""

import os
from pathlib import Path

IMAGE_SUFFIXES = (  # in any case; what Pillow cannot read of them is named and not passed over
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip


def image_names(folder: Path) -> list[str]:
    """Sorted names of the images directly in ``folder``; hidden files are left out."""
    return sorted(entry.name for entry in os.scandir(folder) if is_image_name(entry.name) and not entry.is_dir())


def is_image_name(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def folder_names(folder: Path) -> list[str]:
    """Sorted names of the folders directly in ``folder``; hidden ones are left out."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
