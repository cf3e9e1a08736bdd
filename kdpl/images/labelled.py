"""Labels that folders give: the images of root/cat/ are cats."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..names import did_you_mean
from .files import NAMED


def folder_of(path: str | os.PathLike, root: str | os.PathLike) -> str | None:
    """The first folder below ``root`` on the way to an image; None for an image right in it.

    >>> folder_of("photos/cat/indoors/1.jpg", "photos"), folder_of("photos/1.jpg", "photos")
    ('cat', None)
    """
    parts = Path(path).relative_to(root).parts
    return parts[0] if len(parts) > 1 else None


def labelled_images(
    paths: Iterable[str | os.PathLike], root: str | os.PathLike, classnames: Sequence[str]
) -> Iterator[tuple[str | os.PathLike, int]]:
    """The images whose folder is called like a class, with the index of that class.

    Case and underscores for spaces do not matter.
    """
    indices = {_comparable(name): i for i, name in enumerate(classnames)}
    for path in paths:
        folder = folder_of(path, root)
        if folder is not None and (label := indices.get(_comparable(folder))) is not None:
            yield path, label


def folder_names(paths: Iterable[str | os.PathLike], root: str | os.PathLike) -> list[str]:
    """The folders right below ``root`` that hold images, sorted."""
    return sorted({folder for path in paths if (folder := folder_of(path, root)) is not None})


def check_labels(paths: Sequence[str | os.PathLike], root: str | os.PathLike, classnames: Sequence[str]) -> None:
    """Refuse images without a class of these.

    Raises:
        ValueError: naming folders that are no class, or images beside the folders.
    """
    known = {_comparable(name): name for name in classnames}
    beside = [path for path in paths if folder_of(path, root) is None]
    unknown = [name for name in folder_names(paths, root) if _comparable(name) not in known]
    if beside:
        raise ValueError(f"{len(beside)} images of {root} are in no class's folder, such as {beside[0]}.")
    if unknown:
        listed = ", ".join(f"{name!r}{did_you_mean(name, classnames)}" for name in unknown[:NAMED])
        raise ValueError(
            f"{len(unknown)} folders of {root} are not called like a class of the prompts: {listed}. "
            "Rename or move them, or give the classes by --classnames."
        )


def _comparable(name: str) -> str:
    return name.replace("_", " ").casefold()
