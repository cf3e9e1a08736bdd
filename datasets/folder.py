"""Your own dataset: a folder of images, labelled or not, without writing code."""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY
from yacs.config import CfgNode

from kdpl.clip.templates import fill, template_of
from kdpl.names import check_distinct, comparable
from kdpl.outside import fault_of_kind, read_lines

from .few_shot import FewShotDataset
from .folder_listing import Listed, images_below, list_folder, read_label_file
from .image_check import check_images, lines_of, unusable_images
from .splits import PARTS, UNKNOWN, Item, Split, by_label, few_shot_draw

CLASSNAMES_FILE = "classnames.txt"
LABEL_FILES = ("labels.csv", "labels.json")
USUAL_SHARES = (0.5, 0.2, 0.3)
PLACEHOLDER = "object"  # class-agnostic training has no names, and a CLIP is built with at least one


@DATASET_REGISTRY.register()
class Folder(FewShotDataset):
    """Images below DATASET.ROOT; what is known of them is found in this order:

    1. ``labels.csv``, ``labels.json`` or DATASET.FOLDER.LABELS: path, label and, optionally, split;
    2. ``{train,val,test}/``, each with a folder per class or with unlabelled images;
    3. a folder per class;
    4. unlabelled images: all of them are for training, whatever DATASET.NUM_SHOTS says.

    Class names are the lines of ``classnames.txt`` or DATASET.FOLDER.CLASSNAMES, else the classes found, sorted. Labels
    that are numbers stand for these lines, from 0. Without any, only class-agnostic distillation can train. Labelled
    images that nothing divides into parts are all for training, or divided by DATASET.FOLDER.SHARES if
    DATASET.FOLDER.DIVIDE says so. Files that cannot be read are reported and left out.

    Attributes:
        title: the collection's name in records and tables, DATASET.FOLDER.NAME or that of its folder.
        nameless: whether there are no class names.
    """

    dataset_dir = ""

    def __init__(self, cfg: CfgNode):
        if not cfg.DATASET.ROOT:
            raise ValueError("DATASET.NAME Folder needs the folder of your images: --root, or DATA=... for scripts.")
        self.settings = cfg.DATASET.FOLDER
        self.left_out: dict[str, str] = {}
        self.undivided = False  # whether images with labels could have been kept for testing
        super().__init__(cfg)
        self.title = f"Folder {self.settings.NAME or os.path.basename(os.path.normpath(self.root))}"
        if self.nameless and not cfg.TRAINER.KDPL.CLASS_AGNOSTIC:
            raise ValueError(
                f"{self.root} has images, but neither class folders nor labels nor class names. Put a file "
                f"{CLASSNAMES_FILE} with one name per line there, name one in DATASET.FOLDER.CLASSNAMES, or train "
                "without names: TRAINER.KDPL.CLASS_AGNOSTIC True."
            )
        self.print_report(template_of(cfg.DATASET.NAME, cfg.DATASET.TEMPLATE))

    def check_layout(self) -> None:
        if not self.root.is_dir():
            raise FileNotFoundError(f"There is no folder {self.root}. Name that of your images: --root, or DATA=...")

    def read_split(self) -> Split:
        names = self.names_given()
        label_file = self.label_file()
        listed = self.read_labels(label_file) if label_file else list_folder(self.root, names)
        if not listed:
            raise FileNotFoundError(
                f"There are no images below {self.root}. Expected class folders with images, train/ and test/ with "
                f"class folders, a file {' or '.join(LABEL_FILES)}, or images and a file {CLASSNAMES_FILE}."
            )
        self.n_unlisted = len(set(images_below(self.root)).difference(image.path for image in listed))
        listed = _numbers_named(listed, names)
        found = sorted({image.classname for image in listed if image.classname}, key=_numbers_by_size)
        check_distinct(found, label_file or self.root)
        given = {comparable(name) for name in names}
        strangers = [name for name in found if comparable(name) not in given]
        if names and strangers:
            raise ValueError(
                f"{len(strangers)} of the {len(found)} classes of {self.root} are not among the {len(names)} class "
                f"names given: {', '.join(strangers[:5])}. Add them, or rename the folders or labels."
            )
        self.nameless = not (names or found)
        names = names or found or [PLACEHOLDER]
        parts = {part: _items(listed, part, names) for part in (None, *PARTS)}
        if parts[None] and (self.settings.DIVIDE or tuple(self.settings.SHARES) != USUAL_SHARES):
            train, val, test = divide(parts[None], self.settings.SHARES, self.settings.SPLIT_SEED)
        elif parts[None]:  # nothing says what is for training and what for testing
            train, val, test = parts[None], [], []
            self.undivided = any(item.label != UNKNOWN for item in train)
        else:
            train, val, test = (parts[part] for part in PARTS)
        if not train:
            raise ValueError(f"{self.root} has no images for training.")
        # A test set has to be there. Without labels none can be counted, and the trainers do not test.
        return Split.of(train, val, test or val or [item._replace(label=UNKNOWN) for item in train], names)

    def read_labels(self, file: Path) -> list[Listed]:
        """What a label file lists; paths below the root are kept relative, so that it can move."""
        listed = []
        for image in read_label_file(file):
            path = Path(image.path)
            inside = path.is_absolute() and self.root in path.parents
            listed.append(image._replace(path=path.relative_to(self.root).as_posix()) if inside else image)
        return listed

    def names_given(self) -> list[str]:
        """The lines of the file of class names; none if there is no file."""
        path = self.settings.CLASSNAMES and Path(self.settings.CLASSNAMES).expanduser()
        if path and not path.exists():
            raise FileNotFoundError(
                f"DATASET.FOLDER.CLASSNAMES is {str(path)!r}: no such file. Name one with one class name per line."
            )
        path = path or self.root / CLASSNAMES_FILE
        names = read_lines(path, "file of class names") if path.exists() else []
        if path.exists() and not names:
            raise ValueError(f"{path} is empty. It has one class name per line; without names, remove it.")
        check_distinct(names, path)
        return names

    def label_file(self) -> Path | None:
        """The file that lists images and labels, if there is one."""
        if self.settings.LABELS:
            return Path(self.settings.LABELS).expanduser()
        return next((self.root / name for name in LABEL_FILES if (self.root / name).exists()), None)

    def few_shot(self, split: Split, shots: int, seed: int) -> Split:
        """The draw; it is not kept, because your own images come and go."""
        return few_shot_draw(split, shots, seed)

    def with_usable_images(self, split: Split, opens_test: bool) -> Split:
        """Leave out what cannot be read; a file that a label file lists and that is missing is an error."""
        everything = list(dict.fromkeys(item.path for part in PARTS for item in getattr(split, part)))
        if self.label_file():
            check_images(self.images, [], self.folder, unopened=everything)
        opens_test &= all(item.label != UNKNOWN for item in split.test)  # without labels nothing is evaluated
        opened = PARTS if opens_test else ("train", "val")
        paths = list(dict.fromkeys(item.path for part in opened for item in getattr(split, part)))
        kinds = {path: fault_of_kind(self.images / path) for path in everything}
        self.left_out = {path: kind for path, kind in kinds.items() if kind}  # such as links to nothing
        self.left_out |= unusable_images(self.images, paths, self.folder)
        kept = {part: [item for item in getattr(split, part) if item.path not in self.left_out] for part in PARTS}
        for part, needed in (("train", True), ("test", opens_test)):
            if needed and not kept[part]:
                raise ValueError(f"No image for {part} below {self.root} can be read:\n{lines_of(self.left_out)}")
        return replace(split, **kept)

    def print_report(self, template: str) -> None:
        """What was found: images, classes, the first prompts, files left out."""
        for part, data in (("training", self.train_x), ("validation", self.val), ("testing", self.test)):
            labelled = sum(datum.label != UNKNOWN for datum in data or [])
            unlabelled = len(data or []) - labelled
            if part == "testing" and not labelled:
                hint = " unless DATASET.FOLDER.DIVIDE True keeps some back" if self.undivided else ""
                print(f"Images for testing: none with labels; accuracy cannot be measured{hint}")
            elif data:
                print(f"Images for {part}: {labelled:,} labelled, {unlabelled:,} unlabelled")
        if self.nameless:
            print("Classes: unknown; the training is class-agnostic")
        else:
            print(f"Classes: {len(self.names):,} ({', '.join(self.names[:8])}{', ...' if len(self.names) > 8 else ''})")
            print("Prompts: " + " | ".join(fill(template, self.names[:3])))
        if self.n_unlisted:
            where = self.label_file() or "train, val and test"
            print(f"Not used: {self.n_unlisted:,} images below {self.root} that are not in {where}")
        if self.left_out:
            print(f"Left out, because they cannot be read: {len(self.left_out):,}\n{lines_of(self.left_out)}")


def _numbers_named(listed: Sequence[Listed], names: Sequence[str]) -> list[Listed]:
    """The same with names in place of labels that are all numbers of lines of ``names``, from 0."""
    numbers = {image.classname for image in listed if image.classname}
    if not all(number.isdecimal() and int(number) < len(names) for number in numbers) or numbers & {*names}:
        return list(listed)
    return [image._replace(classname=names[int(image.classname)]) if image.classname else image for image in listed]


def _numbers_by_size(name: str) -> tuple[int, str]:
    """A key that sorts 9 before 10, and numbers before words."""
    return (int(name), name) if name.isdecimal() else (sys.maxsize, name)


def _items(listed: Sequence[Listed], part: str | None, names: Sequence[str]) -> list[Item]:
    labels = {comparable(name): label for label, name in enumerate(names)}
    items = []
    for image in listed:
        if image.part == part:
            label = labels[comparable(image.classname)] if image.classname else UNKNOWN
            items.append(Item(image.path, label, names[label] if image.classname else ""))
    return items


def divide(items: Sequence[Item], shares: Sequence[float], seed: int) -> tuple[list[Item], list[Item], list[Item]]:
    """Divide the images of each class; those without a label are all for training, and a class has at least one there.

    The order in a class is that of hashes of seed and path, so a new image moves only few others to another part.

    Raises:
        ValueError: if ``shares`` are not three parts of a whole.
    """
    if len(shares) != len(PARTS) or min(shares) < 0 or not shares[0] or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"DATASET.FOLDER.SHARES is {tuple(shares)}; it takes three shares that add up to 1, as (0.5, 0.2, 0.3)."
        )
    train, val, test = [], [], []
    for label, group in sorted(by_label(items).items()):
        if label == UNKNOWN:
            train += group
            continue
        group.sort(key=lambda item: hashlib.sha256(os.fsencode(f"{seed}/{item.path}")).digest())
        n_train = max(1, round(shares[0] * len(group)))
        n_val = min(round(shares[1] * len(group)), len(group) - n_train)
        train += group[:n_train]
        val += group[n_train : n_train + n_val]
        test += group[n_train + n_val :]
    return train, val, test
