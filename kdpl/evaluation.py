"""Evaluation results: exact counts, confusions between classes, calibration."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .atomic_files import atomic_path

N_BINS = 15  # equal-width confidence bins, the usual number for the calibration error
TOP = 5  # classes per image in the CSV


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
