"""Finding the classes and the split of your own images, from folders or from a label file."""

import os
import posixpath
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from kdpl.images.files import is_image_name
from kdpl.names import comparable
from kdpl.outside import csv_rows, parse_json, read_text
from kdpl.ranges import is_plain

from .image_files import folder_names, image_names

PART_FOLDERS = {  # case-insensitive
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
COLUMNS = {  # case-insensitive, ignoring spaces and underscores
    "path": ("path", "file", "filename", "filepath", "image", "imagepath", "imagename", "img"),
    "label": ("label", "class", "classname", "category"),
    "split": ("split", "part", "subset"),
}
DELIMITERS = ",;\t"


class Listed(NamedTuple):
    """An image: its path below the root, its class and its part (train, val, test); None if unknown."""

    path: str
    classname: str | None = None
    part: str | None = None


def list_folder(root: Path, classnames: Collection[str]) -> list[Listed]:
    """List the images below ``root``, with classes and parts from their folders.

    ``root/{train,val,test}/``, or ``root`` itself, contain either one folder per class or, at any depth, images of
    unknown classes. Folders are classes unless ``classnames`` are given and match none of them. A folder called train
    also counts as a class if other folders of images are beside it, but neither val nor test.

    Raises:
        ValueError: if a part has images both inside and outside class folders, or if all images are one level deeper.
    """
    with_images = [name for name in folder_names(root) if _has_images(root / name)]
    parts = {name: PART_FOLDERS[name.casefold()] for name in with_images if name.casefold() in PART_FOLDERS}
    divided = "train" in parts.values() and (len({*parts.values()}) > 1 or len(parts) == len(with_images))
    if divided:
        return [listed for name, part in parts.items() for listed in _list_part(root, name, part, classnames)]
    if len(with_images) == 1 and not image_names(root) and not classnames:
        inner = root / with_images[0]
        if not image_names(inner) and sum(_has_images(inner / name) for name in folder_names(inner)) > 1:
            raise ValueError(f"All images of {root} are in subfolders of {inner}. Use that folder: --root {inner}")
    return _list_part(root, "", None, classnames)


def _list_part(root: Path, name: str, part: str | None, classnames: Collection[str]) -> list[Listed]:
    folder = root / name
    inside = {child: images for child in folder_names(folder) if (images := images_below(folder / child))}
    loose = image_names(folder)
    prefix = f"{name}/" if name else ""
    if not inside or (classnames and not {*map(comparable, inside)} & {*map(comparable, classnames)}):
        flat = loose + [f"{child}/{image}" for child, images in inside.items() for image in images]
        return [Listed(f"{prefix}{image}", None, part) for image in flat]
    if loose:
        raise ValueError(
            f"{folder} has {len(inside)} class folders and {len(loose)} images outside of them, such as {loose[0]}. "
            "Move these into class folders, or all images into one folder."
        )
    return [Listed(f"{prefix}{child}/{image}", child, part) for child, images in inside.items() for image in images]


def images_below(folder: Path) -> list[str]:
    """Sorted paths of the images below ``folder``, relative to it, except hidden ones.

    Links to folders are followed, but each folder is entered only once, and links to parents of ``folder`` are ignored.
    """
    return sorted(_walk_images(folder))


def _has_images(folder: Path) -> bool:
    """Whether :func:`images_below` would find any image; stops at the first."""
    return any(True for _ in _walk_images(folder))


def _walk_images(folder: Path) -> Iterator[str]:
    seen = {str(above) for above in Path(os.path.realpath(folder)).parents}
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in files if is_image_name(name))


def read_label_file(path: Path) -> list[Listed]:
    """The images listed in a CSV or JSON file; an empty label means an unknown class.

    A CSV, separated by commas, semicolons or tabs, has columns called path, label and, optionally, split, or in this
    order without a header. A JSON is one of ``{path: label}``, ``[[path, label], ...]``, ``[{"path": ..., "label": ...,
    "split": ...}, ...]`` and CoOp's ``{"train": [[path, label, classname], ...], "val": ..., "test": ...}``.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it has another form, or gives an image two labels in one part.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"DATASET.FOLDER.LABELS is {path}, which does not exist. It must be a CSV or JSON file."
        )
    text = read_text(path, "list of labels")
    try:
        rows = _json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path)
        listed = [_listed(where, row) for where, row in rows]
        if not listed:
            raise ValueError(f"{path} lists no images.")
    except ValueError as error:
        raise ValueError(
            f"{str(error).rstrip('.')}. This is not a list of images with labels. Expected a CSV with columns path, "
            'label and, optionally, split (train, val, test), or a JSON file such as {"cat/1.jpg": "cat"}.'
        ) from error
    if len({bool(image.part) for image in listed}) > 1:
        raise ValueError(f"{path} gives a split for only some images. Give it for all of them, or for none.")
    labels: dict[tuple[str, str | None], str | None] = {}
    for image in listed:
        label = labels.setdefault((image.path, image.part), image.classname)
        if label != image.classname:
            raise ValueError(
                f"{path} lists {image.path} as both {label!r} and {image.classname!r}. Remove one of them."
            )
    return list(dict.fromkeys(listed))


Row = tuple[str, tuple]  # location, for messages; path, label and, optionally, part


def _csv_rows(text: str, path: Path) -> list[Row]:
    delimiter = max(DELIMITERS, key=next(filter(str.strip, text.splitlines()), "").count)
    rows = [(f"{path}, line {line}", tuple(row)) for line, row in csv_rows(text, path, delimiter)]
    if not rows:
        return []
    first = rows[0][1]
    header = [cell.strip().lower().replace(" ", "").replace("_", "") for cell in first]
    positions = {
        column: next((n for n, cell in enumerate(header) if cell in names), None) for column, names in COLUMNS.items()
    }
    if positions["path"] is not None and positions["label"] is not None:
        order = [position for position in positions.values() if position is not None]
        return [(where, tuple(row[position] for position in order)) for where, row in rows[1:]]
    if len(first) < 2 or positions["path"] is not None:
        raise ValueError(f"{path} has no label column, only {', '.join(first)}.")
    if len(rows) > 1 and is_image_name(rows[1][1][0].strip()) and not is_image_name(first[0].strip()):
        raise ValueError(f"{path} lacks the columns path and label, and has {', '.join(first)} instead.")
    divided = len(first) == len(COLUMNS) and all(row[-1].strip().casefold() in PART_FOLDERS for _, row in rows)
    return [(where, row if divided else row[:2]) for where, row in rows]


def _json_rows(text: str, path: Path) -> list[Row]:
    content = parse_json(text, path)
    if isinstance(content, dict) and isinstance(content.get("train"), list):
        parts = {part: content.get(part, []) for part in ("train", "val", "test")}
        entries = [
            (part, [*row[::2], part] if isinstance(row, list) and len(row) == 3 else row)
            for part, rows in parts.items()
            for row in (rows if isinstance(rows, list) else [rows])
        ]
    elif isinstance(content, dict):
        entries = [(path, [path, label]) for path, label in content.items()]
    else:
        entries = [(str(n), row) for n, row in enumerate(content if isinstance(content, list) else [content])]
    rows = []
    for place, row in entries:
        if isinstance(row, dict):
            row = [row.get("path"), row.get("label"), row.get("split")]
        if not isinstance(row, list) or len(row) not in (2, 3):
            raise ValueError(f"{path} has an invalid entry {place}: {str(row)[:200]}.")
        rows.append((f"{path}, entry {place}", tuple(row)))
    return rows


def _listed(where: str, row: tuple) -> Listed:
    path, label, part = (*row, None)[:3]
    if not (isinstance(path, str) and path.strip() and is_plain(path)):
        raise ValueError(f"{where}: {str(path)[:200]!r} is not a path.")
    if not isinstance(label, str | int | None) or isinstance(label, bool) or not is_plain(str(label)):
        raise ValueError(f"{where}: the label is {str(label)[:200]!r}; it must be a name or a number.")
    part = (str(part or "")).strip().casefold()
    if part and part not in PART_FOLDERS:
        raise ValueError(f"{where}: the split of {path} is {part[:200]!r}; it must be train, val or test.")
    label = "" if label is None else str(label).strip()
    path = posixpath.normpath(path.strip().replace("\\", "/"))  # also accept Windows paths
    return Listed(path, label or None, PART_FOLDERS[part] if part else None)
