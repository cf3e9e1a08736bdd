"""Splits into training, validation and test images; base and new classes; few-shot draws."""

import hashlib
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from kdpl.outside import decoded, parse_json, read_bytes
from kdpl.ranges import shown

PARTS = ("train", "val", "test")
SUBSAMPLES = ("all", "base", "new")
MOST_VAL_SHOTS = 4  # validation images per class, at most
UNKNOWN = -1  # label of an image whose class is unknown


class Item(NamedTuple):
    """An image: its path below the image folder, with forward slashes, its label (from 0) and its class name."""

    path: str
    label: int
    classname: str


@dataclass(frozen=True)
class Split:
    """The three parts of a dataset, the class names in label order, and the SHA-256 of the source."""

    train: list[Item]
    val: list[Item]
    test: list[Item]
    classnames: list[str]
    sha256: str

    @classmethod
    def of(
        cls, train: list[Item], val: list[Item], test: list[Item], classnames: list[str] | None = None, sha256: str = ""
    ) -> "Split":
        """A split; by default class names come from the training images, and the hash from the items."""
        if classnames is None:
            names = {item.label: item.classname for item in train}
            classnames = [names[label] for label in sorted(names)]
        return cls(train, val, test, classnames, sha256 or _sha256(json.dumps([train, val, test]).encode()))


def read_split(path: Path) -> Split:
    """Read a split in CoOp's form: ``{"train": [[path, label, classname], ...], "val": ..., "test": ...}``.

    Raises:
        ValueError: if the file is truncated, has another form, or its labels and names are inconsistent.
    """
    content = read_bytes(path, "split file")
    try:
        lists = parse_json(decoded(content, path), path)
    except ValueError as error:
        raise ValueError(f"The split file {str(error).rstrip('.')}. {_ADVICE}") from error
    if not isinstance(lists, dict) or not all(isinstance(lists.get(part), list) for part in PARTS):
        found = f"an object with the keys {list(lists)[:8]}" if isinstance(lists, dict) else shown(lists)
        raise ValueError(f"The split file {path} contains {found} instead of lists train, val and test. {_ADVICE}")
    split = Split.of(*([_item(entry, part, path) for entry in lists[part]] for part in PARTS), sha256=_sha256(content))
    _check_labels(split, path)
    return split


_ADVICE = "Download the file again; published splits must not be edited."


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _item(entry: object, part: str, path: Path) -> Item:
    match entry:
        case [str(), int() | str(), str()] if str(entry[1]).isdecimal():
            return Item(entry[0], int(entry[1]), entry[2])
    raise ValueError(
        f"The split file {path} has the entry {str(entry)[:200]} in {part} instead of [path, label, classname] "
        f"with a label from 0. {_ADVICE}"
    )


def _check_labels(split: Split, path: Path) -> None:
    if not split.train:
        raise ValueError(f"The split file {path} has no training images. {_ADVICE}")
    names: dict[int, str] = {}
    for item in split.train + split.val + split.test:
        if names.setdefault(item.label, item.classname) != item.classname:
            raise ValueError(
                f"The split file {path} calls label {item.label} both {names[item.label]!r} and {item.classname!r}. "
                f"{_ADVICE}"
            )
    if max(names) >= len(split.train):
        raise ValueError(
            f"The split file {path} has the label {max(names)}, but {len(split.train)} training images are too few for "
            f"so many classes. {_ADVICE}"
        )
    missing = set(range(max(names) + 1)) - {item.label for item in split.train}
    if missing:
        raise ValueError(
            f"The split file {path} has no training images for the labels {sorted(missing)[:10]}. {_ADVICE}"
        )


def few_shot_draw(split: Split, shots: int, seed: int) -> Split:
    """At most ``shots`` training and ``min(shots, 4)`` validation images per class, drawn as CoOp draws them.

    Classes are in order of first appearance; a class with fewer images keeps all of them. The draw is CPython's
    ``random.sample`` after ``random.seed(seed)``, training before validation, without touching the global generator.
    ``shots`` below 1 keeps everything; unlabelled images are always kept.
    """
    if shots < 1:
        return split
    generator = random.Random(seed)
    train = _draw(split.train, shots, generator)
    return replace(split, train=train, val=_draw(split.val, min(shots, MOST_VAL_SHOTS), generator))


def by_label(items: Sequence[Item]) -> dict[int, list[Item]]:
    """The items by label, with labels in order of first appearance."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(item.label, []).append(item)
    return groups


def _draw(items: Sequence[Item], shots: int, generator: random.Random) -> list[Item]:
    drawn = []
    for label, group in by_label(items).items():
        drawn += group if label == UNKNOWN or len(group) < shots else generator.sample(group, shots)
    return drawn


def half_of_classes(split: Split, subsample: str) -> Split:
    """Keep all classes, the first ceil(n / 2) (base) or the rest (new), with labels renumbered from 0.

    Unlabelled images are kept, because it is unknown which half they belong to.

    Raises:
        ValueError: if ``subsample`` is something else, or no class is left.
    """
    if subsample not in SUBSAMPLES:
        raise ValueError(f"DATASET.SUBSAMPLE_CLASSES is {subsample!r}; choose from {', '.join(SUBSAMPLES)}.")
    if subsample == "all":
        return split
    n_classes = len(split.classnames)
    middle = math.ceil(n_classes / 2)
    first, end = (0, middle) if subsample == "base" else (middle, n_classes)
    if first == end:
        raise ValueError(f"DATASET.SUBSAMPLE_CLASSES is {subsample!r}, but {n_classes} class has no second half.")

    def half(items: list[Item]) -> list[Item]:
        return [
            item if item.label == UNKNOWN else item._replace(label=item.label - first)
            for item in items
            if item.label == UNKNOWN or first <= item.label < end
        ]

    names = split.classnames[first:end]
    return replace(split, train=half(split.train), val=half(split.val), test=half(split.test), classnames=names)
