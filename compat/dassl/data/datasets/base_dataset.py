"""The base class of datasets: labelled images in splits."""

import os
import random
from collections import defaultdict
from collections.abc import Sequence


class Datum:
    """One image file with its class and domain.

    Raises:
        FileNotFoundError: if there is no such file.
    """

    def __init__(self, impath: str | os.PathLike = "", label: int = 0, domain: int = 0, classname: str = ""):
        if not os.path.isfile(impath):
            raise FileNotFoundError(f"no image at {os.fspath(impath)!r}; complete the dataset's folder")
        self.impath = os.fspath(impath)
        self.label = label
        self.domain = domain
        self.classname = classname

    # CoOp's datasets pickle their few-shot samples; these names make the pickles compatible with Dassl's Datum.
    def __getstate__(self) -> dict:
        return {f"_{name}": value for name, value in vars(self).items()}

    def __setstate__(self, state: dict) -> None:
        vars(self).update({name.removeprefix("_"): value for name, value in state.items()})


class DatasetBase:
    """Lists of ``Datum``: ``train_x`` (labelled), ``train_u`` (unlabelled), ``val`` and ``test``.

    Attributes: those lists, ``num_classes``, ``lab2cname`` (class name of each label) and ``classnames`` (in the order
    of the labels), all three taken from ``train_x``.
    """

    dataset_dir = ""  # relative to DATASET.ROOT

    def __init__(
        self,
        train_x: Sequence[Datum],
        train_u: Sequence[Datum] | None = None,
        val: Sequence[Datum] | None = None,
        test: Sequence[Datum] | None = None,
    ):
        if not train_x:
            raise ValueError(
                f"{type(self).__name__} has no training images, which define the number and names of its classes"
            )
        self.train_x = train_x
        self.train_u = train_u
        self.val = val
        self.test = test
        self.num_classes = self.get_num_classes(train_x)
        self.lab2cname, self.classnames = self.get_lab2cname(train_x)

    @staticmethod
    def get_num_classes(data_source: Sequence[Datum]) -> int:
        """The highest label plus one."""
        return max(datum.label for datum in data_source) + 1

    @staticmethod
    def get_lab2cname(data_source: Sequence[Datum]) -> tuple[dict[int, str], list[str]]:
        """Class name of each label, and the names in the order of the labels."""
        names = {datum.label: datum.classname for datum in data_source}
        return names, [names[label] for label in sorted(names)]

    def generate_fewshot_dataset(
        self, *data_sources: Sequence[Datum], num_shots: int = -1, repeat: bool = False
    ) -> Sequence[Datum] | Sequence[Sequence[Datum]]:
        """Sample ``num_shots`` images per class from each source with Python's global random generator.

        Args:
            data_sources: one or more lists.
            num_shots: images per class; below 1 keeps all.
            repeat: sample with replacement from a class that has fewer; otherwise all of its images are taken.

        Returns:
            A list for one source, else a list of lists.
        """
        chosen = data_sources
        if num_shots >= 1:
            print(f"Creating a {num_shots}-shot dataset")
            chosen = [self._draw(data_source, num_shots, repeat) for data_source in data_sources]
        return chosen[0] if len(chosen) == 1 else chosen

    def _draw(self, data_source: Sequence[Datum], num_shots: int, repeat: bool) -> list[Datum]:
        drawn = []
        for items in self.split_dataset_by_label(data_source).values():
            if len(items) >= num_shots:
                drawn += random.sample(items, num_shots)
            else:
                drawn += random.choices(items, k=num_shots) if repeat else items
        return drawn

    def split_dataset_by_label(self, data_source: Sequence[Datum]) -> dict[int, list[Datum]]:
        """The images of each label, labels in order of first appearance."""
        groups = defaultdict(list)
        for datum in data_source:
            groups[datum.label].append(datum)
        return groups
