"""The base of all datasets: a split of labelled images, few images per class, all classes or half of them."""

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
    """Images in ``DATASET.ROOT/<dataset_dir>/<image_dir>``, divided as ``<dataset_dir>/<split_file>`` says.

    ``DATASET.NUM_SHOTS`` images per class are drawn with ``SEED``, or read from files that ``DATASET.DRAW`` names, then
    ``DATASET.SUBSAMPLE_CLASSES`` keeps all classes or one half. A dataset states facts in the attributes below; one
    without a split file overrides :meth:`read_split`.

    Attributes:
        dataset_dir: its folder below the data root.
        image_dir: the folder below that one that the paths of a split start from.
        split_file: the published split; empty where there is none.
        also_needed: further files, and folders with a slash at their end.
        n_classes, n_images: as published; images for training, validation and test.
        source, licence: where it comes from, and on which terms; without a source nothing can be fetched.
        raw_files: the annotation that :meth:`raw_split` reads.
        test_only: whether the training images are the test images, because there are no others.
        split_sha256: of the split file's bytes, or of the items where there is no such file.

    Raises:
        FileNotFoundError: if a folder, the split file or images are missing.
        ValueError: if the split file or images are broken, or a setting is not possible.
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
        """The dataset of a data root, of which nothing is read yet; for looking at its folders."""
        dataset = cls.__new__(cls)
        dataset._locate(root)
        return dataset

    @classmethod
    def script_name(cls) -> str:
        """What scripts and tools call it: the name of its module, and of its file in configs/datasets."""
        return cls.__module__.rpartition(".")[2]

    def _locate(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()
        self.folder = self.root / self.dataset_dir
        self.images = self.folder / self.image_dir

    @classmethod
    def needed_paths(cls) -> list[str]:
        """What has to exist below the dataset's folder; folders have a slash at their end."""
        return (
            [f"{cls.image_dir}/"] * bool(cls.image_dir) + [cls.split_file] * bool(cls.split_file) + [*cls.also_needed]
        )

    def check_layout(self) -> None:
        """Name what is missing of the folders and files that the dataset needs."""
        for path in (self.root, self.folder, *(self.folder / name for name in self.needed_paths())):
            if not path.exists():
                layout = "\n".join(f"  {self.dataset_dir}/{name}" for name in self.needed_paths())
                raise FileNotFoundError(
                    f"{type(self).__name__} needs {path}, and it does not exist. Expected below the data root "
                    f"{self.root}:\n{layout}\n"
                    f"{self.repair()} Or name another data root: DATA=... for the scripts, --root ... for train.py."
                )

    def repair(self) -> str:
        """What to do when something is missing or wrong."""
        if not self.source:
            return "Put it there."
        name, root = self.script_name(), shlex.quote(str(self.root))
        return (
            f"`python -m tools.data fix {name} --root {root}` repairs what was unpacked in another form, "
            f"`python -m tools.data get {name} --root {root}` fetches what is missing."
        )

    def read_split(self) -> Split:
        """The published division of the images."""
        return read_split(self.folder / self.split_file)

    @classmethod
    def raw_split(cls, folder: Path, generator: random.Random) -> Split:
        """A split made by the rules of CoOp, shuffled by ``generator``, from the dataset's annotation in ``folder``."""
        raise ValueError(f"{cls.__name__} has no annotation to make a split from; the published one is needed.")

    def few_shot(self, split: Split, shots: int, seed: int) -> Split:
        """The draw of ``shots`` images per class, which ``split_fewshot/`` keeps; one that is there already is used."""
        if shots < 1:
            return split
        path = self.folder / "split_fewshot" / f"shot_{shots}-seed_{seed}.json"
        try:
            return _read_draw(path, split, shots)
        except FileNotFoundError:
            pass
        except ValueError as error:
            print(f"{path} does not fit the split ({error}); the images are drawn again")
        drawn = few_shot_draw(split, shots, seed)
        keep_json(path, {"train": drawn.train, "val": drawn.val})
        return drawn

    def with_usable_images(self, split: Split, opens_test: bool) -> Split:
        """Open every image of the run; a test set that this run leaves alone has to be there, and stays closed."""
        opened = split.train + split.val + split.test * opens_test
        everything = split.train + split.val + split.test
        check_images(
            self.images, [item.path for item in opened], self.folder, unopened=[item.path for item in everything]
        )
        return split

    def get_num_classes(self, data_source: Sequence[Datum]) -> int:
        """Dassl asks for it; the split knows, whatever images a run takes from it."""
        return len(self.names)

    def get_lab2cname(self, data_source: Sequence[Datum]) -> tuple[dict[int, str], list[str]]:
        """Class name of each label, and the names in label order; asked for by Dassl, too."""
        return dict(enumerate(self.names)), list(self.names)

    def as_data(self, items: list[Item]) -> list[Datum]:
        """The items as Dassl has them."""
        return [Datum(str(self.images / item.path), item.label, classname=item.classname) for item in items]


def _read_draw(path: Path, split: Split, shots: int) -> Split:
    """A draw that was kept.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is broken, or is not a draw from ``split``.
    """
    parts = read_json(path, "few-shot draw")
    drawn = {}
    for part, most in (("train", shots), ("val", min(shots, MOST_VAL_SHOTS))):
        source = getattr(split, part)
        try:
            drawn[part] = [Item(*entry) for entry in parts[part]]
            strangers = set(drawn[part]) - set(source)
        except (LookupError, TypeError) as error:
            raise ValueError(f"{part} is not a list of [path, label, classname]") from error
        if strangers:
            raise ValueError(f"{part} has {min(strangers).path}, which the split lacks or lists under another label")
        expected = {label: min(most, len(items)) for label, items in by_label(source).items()}
        if len(set(drawn[part])) != len(drawn[part]) or Counter(item.label for item in drawn[part]) != expected:
            raise ValueError(f"{part} does not have {most} different images of each class")
    return replace(split, **drawn)
