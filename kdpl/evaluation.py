"""Evaluation results: outputs that several evaluations share, exact counts, confusions between classes, calibration."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .atomic_files import atomic_path
from .fingerprints import fingerprint

N_BINS = 15  # equal-width confidence bins, the usual number for the calibration error
TOP = 5  # classes per image in the CSV


class Outputs(NamedTuple):
    """Logits of every image of a test set for every class.

    >>> Outputs.of([(["a.jpg", "b.jpg"], None, torch.zeros(2, 2))], ["cat", "dog"]).rows
    {'a.jpg': 0, 'b.jpg': 1}

    Attributes:
        classnames: in label order.
        rows: the row of each image, by path.
        logits: (n_images, n_cls).
    """

    classnames: list[str]
    rows: dict[str, int]
    logits: Tensor

    @classmethod
    def of(cls, predictions: Iterable[tuple[list[str], Any, Tensor]], classnames: Sequence[str]) -> "Outputs":
        """Collect predictions: for each batch paths, something else, and logits (batch, n_cls)."""
        paths, logits = [], []
        for of_batch, _, of_images in predictions:
            paths += of_batch
            logits.append(of_images)
        return cls(list(classnames), {path: row for row, path in enumerate(paths)}, torch.cat(logits))

    def part(
        self, loader: DataLoader, half: str, classnames: Sequence[str]
    ) -> Iterator[tuple[list[str], Tensor, Tensor]]:
        """Paths, labels (batch,) and logits (batch, n_cls) for each batch of an evaluation on some of the classes.

        Args:
            loader: a Dassl loader, whose images are not read.
            half: "base" for the first classes, "new" for the last, or "all".
            classnames: of these classes.

        Raises:
            ValueError: if they are not the classes of that half.
        """
        columns = slice(-len(classnames), None) if half == "new" else slice(len(classnames))
        if self.classnames[columns] != list(classnames):
            raise ValueError(f"The {half} classes are {self.classnames[columns]}, not {list(classnames)}.")
        items, device = loader.dataset.data_source, self.logits.device
        for batch in ([items[i] for i in indices] for indices in loader.batch_sampler):
            paths = [item.impath for item in batch]
            rows, label = torch.tensor([(self.rows[item.impath], item.label) for item in batch], device=device).T
            yield paths, label, self.logits[rows, columns]


_latest: dict[str, Outputs] = {}  # at most one


def shared_outputs(depends_on: Any, predict: Callable[[], tuple[Iterable, Sequence[str]]]) -> Outputs:
    """Outputs that several evaluations share; only the latest are kept.

    Args:
        depends_on: plain values that identify them.
        predict: returns predictions and class names for :meth:`Outputs.of`.
    """
    key = fingerprint(depends_on)
    if key not in _latest:
        forget_outputs()
        with torch.no_grad():
            _latest[key] = Outputs.of(*predict())
    return _latest[key]


def forget_outputs() -> None:
    """Free the memory of the outputs that are kept."""
    _latest.clear()


class Counts:
    """Accumulates the counts of an evaluation on the device, without synchronising after each batch.

    Args:
        per_image: whether to keep the most likely classes of every image, for :meth:`write_images`.
    """

    def __init__(self, classnames: Sequence[str], device: torch.device, per_image: bool = False):
        self.classnames = list(classnames)
        self.per_image = per_image
        self.confusion = torch.zeros(len(classnames), len(classnames), dtype=torch.long, device=device)
        self.edges = torch.linspace(0, 1, N_BINS + 1, dtype=torch.float64, device=device)[1:-1]
        self.bins = torch.zeros(3, N_BINS, dtype=torch.float64, device=device)  # images, correct, summed confidence
        self.paths: list[str] = []
        self.top: list[tuple[Tensor, Tensor, Tensor]] = []  # per batch: labels, probabilities, classes

    def add(self, logits: Tensor, label: Tensor, paths: Sequence[str] = ()) -> None:
        """Add logits (batch, n_cls) with labels (batch,); paths are needed only with ``per_image``."""
        predicted = logits.argmax(dim=-1)
        cell = label * len(self.classnames) + predicted
        self.confusion.view(-1).index_add_(0, cell, torch.ones_like(cell))
        probabilities = logits.double().softmax(dim=-1)
        confidence = probabilities.max(dim=-1).values  # (batch,)
        which_bin = torch.bucketize(confidence, self.edges)[:, None] == torch.arange(N_BINS, device=label.device)
        facts = torch.stack([torch.ones_like(confidence), (predicted == label).double(), confidence])  # (3, batch)
        self.bins += facts @ which_bin.double()
        if self.per_image:
            self.paths += paths
            self.top.append((label, *probabilities.topk(min(TOP, len(self.classnames)))))

    def result(self) -> dict[str, Any]:
        """The evaluation in the form that run records store.

        Returns:
            ``correct`` and ``total``; ``accuracy``, ``macro_f1`` and ``ece`` (expected calibration error over 15
            confidence bins) in percent; ``per_class`` counts; ``confusion`` as triples of label, predicted label and
            number of images, omitting pairs that never occur.
        """
        confusion = self.confusion.cpu()
        correct, totals, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
        f1 = (2 * correct / (totals + predicted))[totals > 0]  # over classes that have images, as in Dassl
        total = int(totals.sum())
        _, correct_in_bin, confidence_in_bin = self.bins.cpu()
        return {
            "correct": int(correct.sum()),
            "total": total,
            "accuracy": 100.0 * int(correct.sum()) / max(1, total),
            "macro_f1": 100.0 * float(f1.double().mean()) if len(f1) else 0.0,
            "ece": 100.0 * float((correct_in_bin - confidence_in_bin).abs().sum()) / max(1, total),
            "per_class": [
                {"classname": name, "correct": int(c), "total": int(t)}
                for name, c, t in zip(self.classnames, correct, totals, strict=True)
            ],
            "confusion": [[*cell, int(confusion[tuple(cell)])] for cell in confusion.nonzero().tolist()],
        }

    def write_images(self, file: Path, root: str) -> None:
        """Write a CSV with one line per image: path, label and the five most likely classes.

        Args:
            root: paths below this folder are written relative to it.
        """
        root = os.path.abspath(os.path.expanduser(root))
        labels, probabilities, classes = (torch.cat(parts).tolist() for parts in zip(*self.top, strict=True))
        ranks = range(1, len(classes[0]) + 1)
        with atomic_path(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            columns = [f"{column}_{rank}" for rank in ranks for column in ("class", "probability")]
            writer.writerow(["path", "label", *columns])
            for path, label, *top in zip(self.paths, labels, probabilities, classes, strict=True):
                path = os.path.relpath(path, root) if Path(root) in Path(path).parents else path
                likeliest = [cell for p, c in zip(*top, strict=True) for cell in (self.classnames[c], f"{p:.6f}")]
                writer.writerow([path, self.classnames[label], *likeliest])
