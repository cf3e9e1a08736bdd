"""Recognising benchmarks that were unpacked or repackaged in another layout, and moving them into CoOp's layout.

Folders are recognised by their content and not by their names: the published split says which files to look for.
Nothing is deleted, and only ``classnames.txt`` is copied.
"""

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from datasets.few_shot import FewShotDataset
from datasets.image_files import folder_names, image_names
from datasets.imagenet import ImageNet
from datasets.raw_splits import read_mat
from kdpl.outside import read_lines

from .unpacking import move_into

DEPTH = 5  # levels of folders to search below the data root
SAMPLE = 20  # images that a folder must hold to be recognised
CLASSNAMES = "classnames.txt"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"  # in the devkit, next to meta.mat
KAGGLE_SOLUTION = "LOC_val_solution.csv"
# Two variants of ImageNet have 200 folders each, so outside their own folder they are recognised by name.
OTHER_NAMES = {
    "imagenetv2": ("imagenetv2-matched-frequency-format-val", "imagenetv2", "imagenet-v2", "imagenet_v2"),
    "imagenet_sketch": ("sketch", "imagenet-sketch", "imagenet_sketch", "imagenet-s"),
    "imagenet_a": ("imagenet-a", "imagenet_a", "imageneta", "imagenet-adversarial"),
    "imagenet_r": ("imagenet-r", "imagenet_r", "imagenetr", "imagenet-rendition"),
}


class Mover:
    """Moves files or, in a dry run, only notes what it would do.

    Attributes:
        actions: what was done, in words.
    """

    def __init__(self, do: bool):
        self.do = do
        self.actions: list[str] = []

    def act(
        self, words: str, pairs: Iterable[tuple[Path, Path]], operation: Callable[[Path, Path], object] = move_into
    ) -> None:
        self.actions.append(words)
        for source, place in pairs if self.do else ():
            operation(source, place)

    def move(self, source: Path, place: Path) -> None:
        self.act(f"{source} to {place}", [(source, place)])

    def move_entries(self, source: Path, names: Iterable[str], place: Path) -> None:
        """Move only these files and folders of ``source``, of which ``place`` may be a subfolder."""
        names = [name for name in names if (source / name).exists()]
        self.act(f"{len(names):,} files or folders of {source} to {place}", [(source / n, place / n) for n in names])


def repair(dataset: FewShotDataset, search: Path, do: bool = True) -> list[str]:
    """Move misplaced parts of a dataset to where they belong.

    Args:
        dataset: from :meth:`FewShotDataset.unopened`.
        search: the folder to search.
        do: False moves nothing and only reports.

    Returns:
        What was moved where, or would have been.

    Raises:
        FileNotFoundError: if ImageNet's validation images are in one flat folder and nothing gives their classes.
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


def _first_file(places: Iterable[Path], name: str) -> Path | None:
    return next((place / name for place in places if (place / name).is_file()), None)


def _bring_file(dataset: FewShotDataset, name: str, search: Path, mover: Mover) -> None:
    """Move a list or split into place from wherever it is; ``classnames.txt``, which all ImageNets need, is copied."""
    if name != CLASSNAMES:
        if source := _first_file([search, *folders_below(search, 3)], name):
            mover.move(source, dataset.folder / name)
        return
    places = [ImageNet.unopened(dataset.root).folder, *sorted(dataset.root.glob("imagenet*"))]
    places += [folder for folder in folders_below(search, 3) if folder.name.startswith("imagenet")]
    if source := _first_file(places, name):
        if mover.do:
            dataset.folder.mkdir(parents=True, exist_ok=True)
        mover.act(f"a copy of {source} to {dataset.folder / name}", [(source, dataset.folder / name)], shutil.copyfile)


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
    names = _first_file([dataset.folder, ImageNet.unopened(dataset.root).folder], CLASSNAMES)
    ids = [line.split(" ", 1)[0] for line in read_lines(names)] if names else []
    expected = set(dataset.names_of_folders({name: name for name in ids}))

    def has_its_classes(folder: Path) -> bool:
        return folder.is_dir() and len(expected.intersection(folder_names(folder))) == dataset.n_classes

    if has_its_classes(dataset.images):
        return
    named = [folder for folder in folders_below(search, 3) if folder.name.lower() in OTHER_NAMES[dataset.script_name()]]
    places = [dataset.folder, *folders_below(dataset.folder), *named]
    places += [below for folder in named for below in folders_below(folder, 2)]
    source = next(filter(has_its_classes, places), None)
    if source == dataset.folder:
        mover.move_entries(source, sorted(expected), dataset.images)
    elif source:
        mover.move(source, dataset.images)


def _repair_imagenet(dataset: ImageNet, search: Path, mover: Mover) -> None:
    for part in ("train", "val"):
        place = dataset.images / part
        if not place.is_dir() or not any(place.iterdir()):
            others = (folder for folder in folders_below(dataset.folder) if folder.name == part and folder != place)
            if source := next(filter(_is_part_of_imagenet, others), None):
                mover.move(source, place)
    flat = dataset.images / "val"
    images = image_names(flat) if flat.is_dir() else []
    if images:
        folders = validation_folders(dataset.folder)
        known = [(flat / name, flat / folders[name] / name) for name in images if name in folders]
        mover.act(f"{len(known):,} images of {flat} to the folders of their classes", known)


def _is_part_of_imagenet(folder: Path) -> bool:
    return any(name.startswith("n0") for name in folder_names(folder)) or bool(image_names(folder))


def validation_folders(folder: Path) -> dict[str, str]:
    """The class folder of each of ImageNet's validation images, from the devkit or from Kaggle's solution."""
    places = [folder, *folders_below(folder)]
    truth, meta, solution = (_first_file(places, name) for name in (GROUND_TRUTH, "meta.mat", KAGGLE_SOLUTION))
    if truth and meta:
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in read_mat(meta)["synsets"].ravel()}
        numbers = enumerate(read_lines(truth), start=1)
        return {f"ILSVRC2012_val_{n:08}.JPEG": wnids[int(number)] for n, number in numbers}
    if solution:
        with open(solution, encoding="utf-8", newline="") as file:
            return {f"{row['ImageId']}.JPEG": row["PredictionString"].split()[0] for row in csv.DictReader(file)}
    raise FileNotFoundError(
        f"ImageNet's validation images are in one flat folder, and nothing below {folder} gives their classes. Put the "
        f"devkit there (ILSVRC2012_devkit_t12.tar.gz, which `get ImageNet` unpacks) or Kaggle's {KAGGLE_SOLUTION}."
    )
