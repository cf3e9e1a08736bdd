"""The base class of all datasets: a split of labelled images, few-shot draws, and base and new classes."""

import os
import random
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dassl.data.datasets import DatasetBase, Datum
from yacs.config import CfgNode

from kdpl.outside import read_json

from .image_check import check_images
from .kept_files import keep_json
from .published_draws import read_published_draw
from .splits import MOST_VAL_SHOTS, Item, Split, by_label, few_shot_draw, half_of_classes, read_split


class FewShotDataset(DatasetBase):
    """Images in ``DATASET.ROOT/<dataset_dir>/<image_dir>``, divided according to ``<dataset_dir>/<split_file>``.

    ``DATASET.NUM_SHOTS`` images per class are drawn with ``SEED``, or read from the files of ``DATASET.DRAW``; then
    ``DATASET.SUBSAMPLE_CLASSES`` keeps all classes or one half. Subclasses set the attributes below; those without a
    split file override :meth:`read_split`.

    Attributes:
        dataset_dir: its folder in the data root.
        image_dir: the folder inside it to which paths in the split are relative.
        split_file: the published split; empty if there is none.
        also_needed: other required files and folders; folders end with a slash.
        n_classes, n_images: as published; numbers of images for training, validation and test.
        source, licence: origin and terms; without a source, nothing can be downloaded.
        raw_files: the annotation files that :meth:`raw_split` reads.
        test_only: whether the dataset has only test images, which then also serve as training images.
        split_sha256: hash of the split file or, without one, of the items.

    Raises:
        FileNotFoundError: if a folder, the split file or images are missing.
        ValueError: if the split file or images are damaged, or a setting is invalid.
    """

    dataset_dir: str
    image_dir = ""
    split_file = ""
    also_needed: tuple[str, ...] = ()
    n_classes = 0
    n_images = (0, 0, 0)
    source = ""
    licence = ""
    raw_files: tuple[str, ...] = ()
    test_only = False

    def __init__(self, cfg: CfgNode):
        self._locate(cfg.DATASET.ROOT)
        self.check_layout()
        split = self.read_split()
        self.split_sha256 = split.sha256
        if cfg.DATASET.DRAW and cfg.DATASET.NUM_SHOTS > 0 and not self.test_only:
            split = read_published_draw(self.folder, cfg.DATASET.DRAW, split, cfg.DATASET.NUM_SHOTS, cfg.SEED)
        else:
            split = self.few_shot(split, cfg.DATASET.NUM_SHOTS, cfg.SEED)
        split = half_of_classes(split, cfg.DATASET.SUBSAMPLE_CLASSES)
        split = self.with_usable_images(split, opens_test=not cfg.TEST.NO_TEST)
        self.names = split.classnames
        super().__init__(
            train_x=self.as_data(split.train), val=self.as_data(split.val) or None, test=self.as_data(split.test)
        )

    @classmethod
    def unopened(cls, root: str | Path) -> "FewShotDataset":
        """The dataset at a data root without reading anything, to inspect its folders."""
        dataset = cls.__new__(cls)
        dataset._locate(root)
        return dataset

    @classmethod
    def script_name(cls) -> str:
        """Its name in scripts and tools: that of its module and of its file in configs/datasets."""
        return cls.__module__.rpartition(".")[2]

    def _locate(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()
        self.folder = self.root / self.dataset_dir
        self.images = self.folder / self.image_dir

    @classmethod
    def needed_paths(cls) -> list[str]:
        """Required paths below the dataset's folder; folders end with a slash."""
        return (
            [f"{cls.image_dir}/"] * bool(cls.image_dir) + [cls.split_file] * bool(cls.split_file) + [*cls.also_needed]
        )

    def check_layout(self) -> None:
        """Refuse a dataset with missing folders or files.

        Raises:
            FileNotFoundError: naming the first missing path, with the expected layout.
        """
        for path in (self.root, self.folder, *(self.folder / name for name in self.needed_paths())):
            if not path.exists():
                layout = "\n".join(f"  {self.dataset_dir}/{name}" for name in self.needed_paths())
                raise FileNotFoundError(
                    f"{type(self).__name__} needs {path}, which does not exist. Expected layout of the data root "
                    f"{self.root}:\n{layout}\n"
                    f"{self.repair()} Or choose another data root: DATA=... for the scripts, --root ... for train.py."
                )

    def repair(self) -> str:
        """Advice for missing or damaged data."""
        if not self.source:
            return "Put it there."
        name, root = self.script_name(), shlex.quote(str(self.root))
        return (
            f"`python -m tools.data fix {name} --root {root}` corrects the layout of unpacked files, "
            f"`python -m tools.data get {name} --root {root}` downloads missing files."
        )

    def read_split(self) -> Split:
        """The published split."""
        return read_split(self.folder / self.split_file)

    @classmethod
    def raw_split(cls, folder: Path, generator: random.Random) -> Split:
        """Create a split from the dataset's annotation in ``folder``, by CoOp's rules, shuffled with ``generator``."""
        raise ValueError(f"{cls.__name__} has no annotation to create a split from; the published split is needed.")

    def few_shot(self, split: Split, shots: int, seed: int) -> Split:
        """Draw ``shots`` images per class, or reuse the draw stored in ``split_fewshot/``."""
        if shots < 1:
            return split
        path = self.folder / "split_fewshot" / f"shot_{shots}-seed_{seed}.json"
        try:
            return _read_draw(path, split, shots)
        except FileNotFoundError:
            pass
        except ValueError as error:
            print(f"{path} does not match the split ({error}); drawing the images again")
        drawn = few_shot_draw(split, shots, seed)
        keep_json(path, {"train": drawn.train, "val": drawn.val})
        return drawn

    def with_usable_images(self, split: Split, opens_test: bool) -> Split:
        """Check that all images of the run can be read; a test set that is not used only has to exist."""
        opened = split.train + split.val + split.test * opens_test
        everything = split.train + split.val + split.test
        check_images(
            self.images, [item.path for item in opened], self.folder, unopened=[item.path for item in everything]
        )
        return split

    def get_num_classes(self, data_source: Sequence[Datum]) -> int:
        """The number of classes in the split, whichever images the run uses; called by Dassl."""
        return len(self.names)

    def get_lab2cname(self, data_source: Sequence[Datum]) -> tuple[dict[int, str], list[str]]:
        """Class name of each label, and the names in label order; called by Dassl."""
        return dict(enumerate(self.names)), list(self.names)

    def as_data(self, items: list[Item]) -> list[Datum]:
        """The items in Dassl's form."""
        return [Datum(os.path.join(self.images, item.path), item.label, classname=item.classname) for item in items]


def _read_draw(path: Path, split: Split, shots: int) -> Split:
    """Read a stored draw.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or is not a draw from ``split``.
    """
    parts = read_json(path, "few-shot draw")
    drawn = {}
    for part, limit in (("train", shots), ("val", min(shots, MOST_VAL_SHOTS))):
        source = getattr(split, part)
        try:
            drawn[part] = [Item(*entry) for entry in parts[part]]
            unknown = set(drawn[part]) - set(source)
        except (LookupError, TypeError) as error:
            raise ValueError(f"{part} is not a list of [path, label, classname]") from error
        if unknown:
            raise ValueError(f"{part} has {min(unknown).path}, which is not in the split, or has another label there")
        expected = {label: min(limit, len(items)) for label, items in by_label(source).items()}
        if len(set(drawn[part])) != len(drawn[part]) or Counter(item.label for item in drawn[part]) != expected:
            raise ValueError(f"{part} does not have {limit} different images of each class")
    return replace(split, **drawn)
