"""Your own dataset, without writing code: a folder of images, labelled or not."""

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
from kdpl.outside import read_lines

from .few_shot import FewShotDataset
from .folder_listing import Listed, images_below, list_folder, read_label_file
from .image_check import check_images, lines_of, unusable_images
from .splits import PARTS, UNKNOWN, Item, Split, by_label, few_shot_draw

CLASSNAMES_FILE = "classnames.txt"
LABEL_FILES = ("labels.csv", "labels.json")
USUAL_SHARES = (0.5, 0.2, 0.3)
PLACEHOLDER = "object"  # class-agnostic training has no class names, but a CLIP needs at least one


@DATASET_REGISTRY.register()
class Folder(FewShotDataset):
    """Images below DATASET.ROOT. Labels come from the first of these that exists:

    1. ``labels.csv``, ``labels.json`` or DATASET.FOLDER.LABELS: path, label and, optionally, split;
    2. ``{train,val,test}/``, each with one folder per class or with unlabelled images;
    3. one folder per class;
    4. nothing: all images are unlabelled and used for training, whatever DATASET.NUM_SHOTS is.

    Class names are the lines of ``classnames.txt`` or DATASET.FOLDER.CLASSNAMES, or else the sorted classes found.
    Numeric labels are indices of these lines, from 0. Without class names, only class-agnostic training is possible.
    Labelled images without a split are all used for training or, with DATASET.FOLDER.DIVIDE, divided by
    DATASET.FOLDER.SHARES. Unreadable files are reported and skipped.

    Attributes:
        title: name in records and tables: DATASET.FOLDER.NAME, or the name of the folder.
        nameless: whether there are no class names.
    """

    dataset_dir = ""

    def __init__(self, cfg: CfgNode):
        if not cfg.DATASET.ROOT:
            raise ValueError("DATASET.NAME Folder needs the folder with your images: --root, or DATA=... for scripts.")
        self.settings = cfg.DATASET.FOLDER
        self.left_out: dict[str, str] = {}
        self.undivided = False  # whether labelled images could have been held out for testing
        super().__init__(cfg)
        self.title = f"Folder {self.settings.NAME or os.path.basename(os.path.normpath(self.root))}"
        if self.nameless and not cfg.TRAINER.KDPL.CLASS_AGNOSTIC:
            raise ValueError(
                f"{self.root} has images, but no class folders, labels or class names. Add a file {CLASSNAMES_FILE} "
                "with one name per line, set DATASET.FOLDER.CLASSNAMES to such a file, or train without class names: "
                "TRAINER.KDPL.CLASS_AGNOSTIC True."
            )
        self.print_report(template_of(cfg.DATASET.NAME, cfg.DATASET.TEMPLATE))

    def check_layout(self) -> None:
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"There is no folder {self.root}. Set the folder of your images: --root, or DATA=..."
            )

    def read_split(self) -> Split:
        names = self.names_given()
        label_file = self.label_file()
        listed = self.read_labels(label_file) if label_file else list_folder(self.root, names)
        if not listed:
            raise FileNotFoundError(
                f"There are no images below {self.root}. Expected class folders with images, train/ and test/ with "
                f"class folders, a file {' or '.join(LABEL_FILES)}, or images with a file {CLASSNAMES_FILE}."
            )
        self.n_unlisted = len(set(images_below(self.root)).difference(image.path for image in listed))
        listed = _replace_indices(listed, names)
        found = sorted({image.classname for image in listed if image.classname}, key=_numeric_order)
        check_distinct(found, label_file or self.root)
        given = {comparable(name) for name in names}
        unknown = [name for name in found if comparable(name) not in given]
        if names and unknown:
            raise ValueError(
                f"{len(unknown)} of the {len(found)} classes in {self.root} are not among the {len(names)} given "
                f"class names: {', '.join(unknown[:5])}. Add them, or rename the folders or labels."
            )
        self.nameless = not (names or found)
        names = names or found or [PLACEHOLDER]
        parts = {part: _items(listed, part, names) for part in (None, *PARTS)}
        if parts[None] and (self.settings.DIVIDE or tuple(self.settings.SHARES) != USUAL_SHARES):
            train, val, test = divide(parts[None], self.settings.SHARES, self.settings.SPLIT_SEED)
        elif parts[None]:  # no split given
            train, val, test = parts[None], [], []
            self.undivided = any(item.label != UNKNOWN for item in train)
        else:
            train, val, test = (parts[part] for part in PARTS)
        if not train:
            raise ValueError(f"{self.root} has no images for training.")
        # Dassl requires a test set. Trainers do not evaluate one without labels.
        return Split.of(train, val, test or val or [item._replace(label=UNKNOWN) for item in train], names)

    def read_labels(self, file: Path) -> list[Listed]:
        """Read a label file; paths below the root become relative, so that the folder can be moved."""
        listed = []
        for image in read_label_file(file):
            path = Path(image.path)
            inside = path.is_absolute() and self.root in path.parents
            listed.append(image._replace(path=path.relative_to(self.root).as_posix()) if inside else image)
        return listed

    def names_given(self) -> list[str]:
        """The class names in the file that lists them; empty if there is none."""
        path = self.settings.CLASSNAMES and Path(self.settings.CLASSNAMES).expanduser()
        if path and not path.exists():
            raise FileNotFoundError(
                f"DATASET.FOLDER.CLASSNAMES is {str(path)!r}, which does not exist. It needs one name per line."
            )
        path = path or self.root / CLASSNAMES_FILE
        names = read_lines(path, "file of class names") if path.exists() else []
        if path.exists() and not names:
            raise ValueError(f"{path} is empty. Write one class name per line, or remove it.")
        check_distinct(names, path)
        return names

    def label_file(self) -> Path | None:
        """The file that lists images and labels, if there is one."""
        if self.settings.LABELS:
            return Path(self.settings.LABELS).expanduser()
        return next((self.root / name for name in LABEL_FILES if (self.root / name).exists()), None)

    def few_shot(self, split: Split, shots: int, seed: int) -> Split:
        """The draw; it is not stored, because your own images may change."""
        return few_shot_draw(split, shots, seed)

    def with_usable_images(self, split: Split, opens_test: bool) -> Split:
        """Skip unreadable images, but raise an error if a file listed in a label file is missing."""
        everything = list(dict.fromkeys(item.path for part in PARTS for item in getattr(split, part)))
        if self.label_file():
            check_images(self.images, [], self.folder, unopened=everything)
        opens_test &= all(item.label != UNKNOWN for item in split.test)  # no evaluation without labels
        opened = PARTS if opens_test else ("train", "val")
        paths = list(dict.fromkeys(item.path for part in opened for item in getattr(split, part)))
        self.left_out = unusable_images(self.images, paths, self.folder, everything)
        kept = {part: [item for item in getattr(split, part) if item.path not in self.left_out] for part in PARTS}
        for part, needed in (("train", True), ("test", opens_test)):
            if needed and not kept[part]:
                raise ValueError(f"None of the {part} images below {self.root} can be read:\n{lines_of(self.left_out)}")
        return replace(split, **kept)

    def print_report(self, template: str) -> None:
        """Print what was found: images, classes, the first prompts, skipped files."""
        for part, data in (("training", self.train_x), ("validation", self.val), ("testing", self.test)):
            labelled = sum(datum.label != UNKNOWN for datum in data or [])
            unlabelled = len(data or []) - labelled
            if part == "testing" and not labelled:
                hint = " (set DATASET.FOLDER.DIVIDE True to hold some out)" if self.undivided else ""
                print(f"Images for testing: none with labels; accuracy cannot be measured{hint}")
            elif data:
                print(f"Images for {part}: {labelled:,} labelled, {unlabelled:,} unlabelled")
        if self.nameless:
            print("Classes: unknown; training is class-agnostic")
        else:
            print(f"Classes: {len(self.names):,} ({', '.join(self.names[:8])}{', ...' if len(self.names) > 8 else ''})")
            print("Prompts: " + " | ".join(fill(template, self.names[:3])))
        if self.n_unlisted:
            where = self.label_file() or "train, val and test"
            print(f"Not used: {self.n_unlisted:,} images below {self.root} that are not in {where}")
        if self.left_out:
            print(f"Skipped unreadable files: {len(self.left_out):,}\n{lines_of(self.left_out)}")


def _replace_indices(listed: Sequence[Listed], names: Sequence[str]) -> list[Listed]:
    """Replace labels with class names, if all labels are indices into ``names``."""
    numbers = {image.classname for image in listed if image.classname}
    if not all(number.isdecimal() and int(number) < len(names) for number in numbers) or numbers & {*names}:
        return list(listed)
    return [image._replace(classname=names[int(image.classname)]) if image.classname else image for image in listed]


def _numeric_order(name: str) -> tuple[int, str]:
    """Sort key that puts 9 before 10, and numbers before words."""
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
    """Divide each class into training (at least one image), validation and test; unlabelled images go to training.

    Within a class, images are ordered by a hash of seed and path, so that adding an image moves only a few others.

    Raises:
        ValueError: if ``shares`` are not three fractions that add up to 1.
    """
    if len(shares) != len(PARTS) or min(shares) < 0 or not shares[0] or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"DATASET.FOLDER.SHARES is {tuple(shares)}; it takes three fractions that add up to 1: (0.5, 0.2, 0.3)."
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
