"""Listing image files and folders in an order that does not depend on the file system."""

import os
from pathlib import Path

from kdpl.images.files import is_image_name


def image_names(folder: Path) -> list[str]:
    """Sorted names of the images directly in ``folder``, except hidden ones."""
    return sorted(entry.name for entry in os.scandir(folder) if is_image_name(entry.name) and not entry.is_dir())


def folder_names(folder: Path) -> list[str]:
    """Sorted names of the folders directly in ``folder``, except hidden ones."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
