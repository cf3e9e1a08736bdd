"""Labels from folders: images below root/cat/ are cats."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..names import did_you_mean
from .files import NAMED


def folder_of(path: str | os.PathLike, root: str | os.PathLike) -> str | None:
    """The top-level folder below ``root`` that contains an image; None for an image directly in ``root``.

    >>> folder_of("photos/cat/indoors/1.jpg", "photos"), folder_of("photos/1.jpg", "photos")
    ('cat', None)
    """
    parts = Path(path).relative_to(root).parts
    return parts[0] if len(parts) > 1 else None


def labelled_images(
    paths: Iterable[str | os.PathLike], root: str | os.PathLike, classnames: Sequence[str]
) -> Iterator[tuple[str | os.PathLike, int]]:
    """The images whose folder has the name of a class, with the index of that class.

    Names may differ in case, and in underscores for spaces.
    """
    indices = {_comparable(name): i for i, name in enumerate(classnames)}
    for path in paths:
        folder = folder_of(path, root)
        if folder is not None and (label := indices.get(_comparable(folder))) is not None:
            yield path, label


def folder_names(paths: Iterable[str | os.PathLike], root: str | os.PathLike) -> list[str]:
    """The top-level folders below ``root`` that contain images, sorted."""
    return sorted({folder for path in paths if (folder := folder_of(path, root)) is not None})


def check_labels(paths: Sequence[str | os.PathLike], root: str | os.PathLike, classnames: Sequence[str]) -> None:
    """Refuse images that belong to none of these classes.

    Raises:
        ValueError: naming folders that are not classes, or images outside class folders.
    """
    known = {_comparable(name): name for name in classnames}
    outside = [path for path in paths if folder_of(path, root) is None]
    unknown = [name for name in folder_names(paths, root) if _comparable(name) not in known]
    if outside:
        raise ValueError(f"{root} has images outside class folders, such as {outside[0]}. Move them into one.")
    if unknown:
        listed = ", ".join(f"{name!r}{did_you_mean(name, classnames)}" for name in unknown[:NAMED])
        raise ValueError(
            f"{len(unknown)} folders in {root} do not have the name of a class: {listed}. "
            "Rename or move them, or set the classes with --classnames."
        )


def _comparable(name: str) -> str:
    return name.replace("_", " ").casefold()
