"""What a folder of one's own images says about them: their classes, and which of them are for training."""

import csv
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from .image_files import folder_names, image_names, is_image_name

PART_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
COLUMNS = {"path": ("path", "file", "filename", "image"), "label": ("label", "class", "classname"), "split": ("split",)}


class Listed(NamedTuple):
    """An image: its path below the root, its class and its part (train, val, test); None where nothing tells."""

    path: str
    classname: str | None = None
    part: str | None = None


def list_folder(root: Path, classnames: Collection[str]) -> list[Listed]:
    """The images below ``root``, by folders.

    ``root/{train,val,test}/`` or ``root`` itself hold either a folder a class or, in any depth, images of unknown
    classes. Folders are classes unless ``classnames`` are given and none of the folders is called like one.

    Raises:
        ValueError: if a part has images both in and beside class folders.
    """
    parts = {name: PART_FOLDERS[name] for name in folder_names(root) if name in PART_FOLDERS}
    if "train" not in parts:
        return _list_part(root, "", None, classnames)
    return [listed for name, part in parts.items() for listed in _list_part(root, name, part, classnames)]


def _list_part(root: Path, name: str, part: str | None, classnames: Collection[str]) -> list[Listed]:
    folder = root / name
    inside = {child: images for child in folder_names(folder) if (images := _images_below(folder / child))}
    beside = image_names(folder)
    prefix = f"{name}/" if name else ""
    if not inside or (classnames and not {*map(comparable, inside)} & {*map(comparable, classnames)}):
        flat = beside + [f"{child}/{image}" for child, images in inside.items() for image in images]
        return [Listed(f"{prefix}{image}", None, part) for image in flat]
    if beside:
        raise ValueError(
            f"{folder} has {len(inside)} folders with images, which are classes, and {len(beside)} images beside them, "
            f"such as {beside[0]}. Move these into the folders of their classes, or all images into one folder."
        )
    return [Listed(f"{prefix}{child}/{image}", child, part) for child, images in inside.items() for image in images]


def comparable(name: str) -> str:
    """Names that differ in case or in underscores for spaces name the same class."""
    return name.replace("_", " ").casefold()


def _images_below(folder: Path) -> list[str]:
    """Sorted paths of the images in ``folder`` and its folders, relative to it; hidden ones are left out."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name).relative_to(folder).as_posix() for name in files if is_image_name(name)]
    return sorted(found)


def read_label_file(path: Path) -> list[Listed]:
    """Images that a CSV or JSON lists; an empty label stands for an unknown class.

    A CSV has columns path, label and, optionally, split under these names, or the first two without a header. A JSON is
    one of ``{path: label}``, ``[[path, label], ...]``, ``[{"path": ..., "label": ..., "split": ...}, ...]`` and CoOp's
    ``{"train": [[path, label, classname], ...], "val": ..., "test": ...}``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has another form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"DATASET.FOLDER.LABELS names {path}, which does not exist. Give a CSV or a JSON file.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _json_rows(json.loads(text)) if path.suffix.lower() == ".json" else _csv_rows(text)
        listed = [_listed(*row) for row in rows]
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(
            f"{path} is no list of images and labels ({error}). Expected a CSV with the columns path, label and, "
            'optionally, split (train, val, test), or a JSON such as {"cat/1.jpg": "cat"}.'
        ) from error
    if len({bool(image.part) for image in listed}) > 1:
        raise ValueError(f"{path} says of some images only for which part they are. Say it of all or of none.")
    return listed


def _csv_rows(text: str) -> Iterable[tuple]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    places = {}
    for column, names in COLUMNS.items():
        places[column] = next((n for n, cell in enumerate(rows[0]) if cell.strip().lower() in names), None)
    if places["path"] is None or places["label"] is None:
        return [(row[0], row[1]) for row in rows]
    order = [place for place in places.values() if place is not None]
    return [tuple(row[place] for place in order) for row in rows[1:]]


def _json_rows(content: object) -> Iterable[tuple]:
    if isinstance(content, dict) and "train" in content and isinstance(content["train"], list):
        return [(row[0], row[2], part) for part in ("train", "val", "test") for row in content.get(part, [])]
    if isinstance(content, dict):
        return list(content.items())
    return [
        (row["path"], row.get("label"), row.get("split")) if isinstance(row, dict) else tuple(row) for row in content
    ]


def _listed(path: str, label: str | int | None, part: str | None = None) -> Listed:
    if part and part.strip().lower() not in PART_FOLDERS:
        raise ValueError(f"the split of {path} is {part!r}")
    label = "" if label is None else str(label).strip()
    return Listed(str(path).strip(), label or None, PART_FOLDERS[part.strip().lower()] if part else None)
