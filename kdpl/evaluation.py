"""Exact counts of an evaluation."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Counts:
    """Correct and total images of every class, gathered on the device."""

    def __init__(self, classnames: Sequence[str], device: torch.device):
        self.classnames = list(classnames)
        self.confusion = torch.zeros(len(classnames), len(classnames), dtype=torch.long, device=device)

    def add(self, logits: Tensor, label: Tensor) -> None:
        """(batch, n_cls) and (batch,), without waiting for the device."""
        cell = label * len(self.classnames) + logits.argmax(dim=-1)
        self.confusion.view(-1).index_add_(0, cell, torch.ones_like(cell))

    def result(self) -> dict[str, Any]:
        """Accuracy and macro F1 in percent, exact counts, and the counts of each class."""
        confusion = self.confusion.cpu()
        correct, totals, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
        f1 = (2 * correct / (totals + predicted))[totals > 0]  # of the classes that have images, as Dassl counts
        return {
            "correct": int(correct.sum()),
            "total": int(totals.sum()),
            "accuracy": 100.0 * int(correct.sum()) / max(1, int(totals.sum())),
            "macro_f1": 100.0 * float(f1.double().mean()) if len(f1) else 0.0,
            "per_class": [
                {"classname": name, "correct": int(c), "total": int(t)}
                for name, c, t in zip(self.classnames, correct, totals, strict=True)
            ],
        }
