"""Recognising benchmarks that were unpacked or repackaged in another form, and moving them into CoOp's form.

Folders are recognised by what they hold, whatever they are called: the published split says which files to look for.
Nothing is deleted, and nothing is copied but ``classnames.txt``.
"""

import csv
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from datasets.few_shot import FewShotDataset
from datasets.image_files import folder_names, image_names
from datasets.imagenet import ImageNet
from datasets.raw_splits import read_mat
from kdpl.outside import read_lines

from .unpacking import move_into

DEPTH = 5  # folders below the data root that are looked through
SAMPLE = 20  # images that a folder must hold to be recognised
CLASSNAMES = "classnames.txt"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"  # of the devkit, beside meta.mat
KAGGLE_SOLUTION = "LOC_val_solution.csv"
# Two variants of ImageNet have 200 folders each: outside their own folder these are told apart by their name.
OTHER_NAMES = {
    "imagenetv2": ("imagenetv2-matched-frequency-format-val", "imagenetv2", "imagenet-v2", "imagenet_v2"),
    "imagenet_sketch": ("sketch", "imagenet-sketch", "imagenet_sketch", "imagenet-s"),
    "imagenet_a": ("imagenet-a", "imagenet_a", "imageneta", "imagenet-adversarial"),
    "imagenet_r": ("imagenet-r", "imagenet_r", "imagenetr", "imagenet-rendition"),
}


class Mover:
    """Moves and copies, or only notes what it would do.

    Attributes:
        actions: what was done, in words.
    """

    def __init__(self, do: bool):
        self.do = do
        self.actions: list[str] = []

    def move(self, source: Path, place: Path) -> None:
        self.actions.append(f"{source} to {place}")
        if self.do:
            move_into(source, place)

    def move_entries(self, source: Path, names: Iterable[str], place: Path) -> None:
        """Move only these files and folders of ``source``, which holds ``place``, too."""
        names = [name for name in names if (source / name).exists()]
        self.actions.append(f"{len(names):,} files or folders of {source} to {place}")
        for name in names if self.do else ():
            move_into(source / name, place / name)

    def copy(self, source: Path, place: Path) -> None:
        self.actions.append(f"a copy of {source} to {place}")
        if self.do:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)


def repair(dataset: FewShotDataset, search: Path, do: bool = True) -> list[str]:
    """Move what is elsewhere to where it belongs.

    Args:
        dataset: as :meth:`FewShotDataset.unopened` gives it.
        search: the folder to look through.
        do: False only looks.

    Returns:
        What was moved where, or would be.

    Raises:
        FileNotFoundError: if ImageNet's validation images lie flat, and nothing tells their classes.
        ValueError: if a split file is broken.
    """
    mover = Mover(do)
    for name in dataset.needed_paths():
        if not name.endswith("/") and not (dataset.folder / name).is_file():
            _bring_file(dataset, name, search, mover)
    if isinstance(dataset, ImageNet):
        (_repair_variant if dataset.test_only else _repair_imagenet)(dataset, search, mover)
    elif all((dataset.folder / name).is_file() for name in dataset.needed_paths() if not name.endswith("/")):
        _repair_by_split(dataset, search, mover)
    return mover.actions


def folders_below(root: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Folders below ``root``, the nearest first."""
    level = [root]
    for _ in range(depth):
        level = [parent / name for parent in level if parent.is_dir() for name in folder_names(parent)]
        yield from level


def _bring_file(dataset: FewShotDataset, name: str, search: Path, mover: Mover) -> None:
    """A list or split from wherever it is; of ``classnames.txt`` a copy, for all variants of ImageNet need it."""
    if name == CLASSNAMES:
        places = [ImageNet.unopened(dataset.root).folder, *sorted(dataset.root.glob("imagenet*"))]
        places += [folder for folder in folders_below(search, 3) if folder.name.startswith("imagenet")]
    else:
        places = [search, *folders_below(search, 3)]
    source = next((place / name for place in places if (place / name).is_file()), None)
    if source:
        (mover.copy if name == CLASSNAMES else mover.move)(source, dataset.folder / name)


def _repair_by_split(dataset: FewShotDataset, search: Path, mover: Mover) -> None:
    split = dataset.read_split()
    paths = {item.path for part in (split.train, split.val, split.test) for item in part}
    wanted = [dataset.image_dir] if dataset.image_dir else [name.rstrip("/") for name in dataset.also_needed]
    for name in wanted:
        prefix = "" if dataset.image_dir else f"{name}/"
        inside = sorted(path.removeprefix(prefix) for path in paths if path.startswith(prefix))
        sample = inside[:: max(1, len(inside) // SAMPLE)] + inside[-1:]
        if _holds(dataset.folder / name, sample):
            continue
        others = set(wanted) - {name}
        found = [folder for folder in folders_below(search) if folder.name not in others and _holds(folder, sample)]
        place = dataset.folder / name
        if found and (source := min(found, key=lambda folder: folder.name != name)) in place.parents:
            mover.move_entries(source, sorted({path.split("/")[0] for path in inside}), place)
        elif found:
            mover.move(source, place)


def _holds(folder: Path, sample: Sequence[str]) -> bool:
    return all((folder / path).is_file() for path in sample)


def _repair_variant(dataset: ImageNet, search: Path, mover: Mover) -> None:
    source = dataset.folder / CLASSNAMES
    if not source.is_file():
        source = ImageNet.unopened(dataset.root).folder / CLASSNAMES
    ids = [line.split(" ", 1)[0] for line in read_lines(source)] if source.is_file() else []
    expected = set(dataset.names_of_folders({name: name for name in ids}))

    def is_it(folder: Path) -> bool:
        return folder.is_dir() and len(expected.intersection(folder_names(folder))) == dataset.n_classes

    if is_it(dataset.images):
        return
    named = [folder for folder in folders_below(search, 3) if folder.name.lower() in OTHER_NAMES[dataset.script_name()]]
    places = [
        *folders_below(dataset.folder),
        *named,
        *(below for folder in named for below in folders_below(folder, 2)),
    ]
    source = next((folder for folder in [dataset.folder, *places] if is_it(folder)), None)
    if source == dataset.folder:
        mover.move_entries(source, sorted(expected), dataset.images)
    elif source:
        mover.move(source, dataset.images)


def _repair_imagenet(dataset: ImageNet, search: Path, mover: Mover) -> None:
    for part in ("train", "val"):
        place = dataset.images / part
        if not place.is_dir() or not any(place.iterdir()):
            called = (folder for folder in folders_below(dataset.folder) if folder.name == part and folder != place)
            source = next((folder for folder in called if _is_part_of_imagenet(folder)), None)
            if source:
                mover.move(source, place)
    flat = dataset.images / "val"
    images = image_names(flat) if flat.is_dir() else []
    if images:
        folders = validation_folders(dataset.folder)
        known = [name for name in images if name in folders]
        mover.actions.append(f"{len(known):,} images of {flat} to the folders of their classes")
        for name in known if mover.do else ():
            (flat / folders[name]).mkdir(exist_ok=True)
            os.replace(flat / name, flat / folders[name] / name)


def _is_part_of_imagenet(folder: Path) -> bool:
    return any(name.startswith("n0") for name in folder_names(folder)) or bool(image_names(folder))


def validation_folders(folder: Path) -> dict[str, str]:
    """The class folder of each of ImageNet's validation images, by the devkit or by Kaggle's solution.

    Raises:
        FileNotFoundError: if neither lies below ``folder``.
    """
    places = [folder, *folders_below(folder)]
    truth, meta, solution = (
        next((place / name for place in places if (place / name).is_file()), None)
        for name in (GROUND_TRUTH, "meta.mat", KAGGLE_SOLUTION)
    )
    if truth and meta:
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in read_mat(meta)["synsets"].ravel()}
        numbers = enumerate(read_lines(truth), start=1)
        return {f"ILSVRC2012_val_{n:08}.JPEG": wnids[int(number)] for n, number in numbers}
    if solution:
        with open(solution, encoding="utf-8", newline="") as file:
            return {f"{row['ImageId']}.JPEG": row["PredictionString"].split()[0] for row in csv.DictReader(file)}
    raise FileNotFoundError(
        f"ImageNet's validation images lie flat, and nothing below {folder} gives their classes. Put the devkit there "
        f"(ILSVRC2012_devkit_t12.tar.gz, which `get ImageNet` unpacks) or Kaggle's {KAGGLE_SOLUTION}."
    )
