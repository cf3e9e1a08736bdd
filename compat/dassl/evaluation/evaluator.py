"""Accuracy and macro F1 of a classifier."""

import os

import numpy as np
import torch
from dassl.utils.files import replaced_when_complete
from yacs.config import CfgNode

from .build import EVALUATOR_REGISTRY


class EvaluatorBase:
    """Collects batches with ``process`` and computes the results with ``evaluate``."""

    def __init__(self, cfg: CfgNode):
        self.cfg = cfg

    def reset(self) -> None:
        """Discard all batches."""
        raise NotImplementedError

    def process(self, mo: torch.Tensor, gt: torch.Tensor) -> None:
        """Add a batch: the model's output and the ground truth."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Results by name; the first one is what ``Trainer.test`` returns."""
        raise NotImplementedError


@EVALUATOR_REGISTRY.register()
class Classification(EvaluatorBase):
    """Top-1 accuracy, its complement and macro F1 in percent; with ``TEST.PER_CLASS_RESULT`` also per class.

    Args:
        cfg: the configuration.
        lab2cname: class name of each label; needed for per-class results.
    """

    def __init__(self, cfg: CfgNode, lab2cname: dict[int, str] | None = None, **kwargs):
        super().__init__(cfg)
        if cfg.TEST.PER_CLASS_RESULT and lab2cname is None:
            raise ValueError("TEST.PER_CLASS_RESULT needs class names; pass lab2cname to the evaluator")
        self._lab2cname = lab2cname
        self.reset()

    def reset(self) -> None:
        self._correct = self._total = 0
        self._y_true: list[int] = []
        self._y_pred: list[int] = []

    def process(self, mo: torch.Tensor, gt: torch.Tensor) -> None:
        """Add a batch.

        Args:
            mo: (batch, n_cls), logits or probabilities.
            gt: (batch,), labels.
        """
        predicted = mo.argmax(dim=1)
        self._correct += int((predicted == gt).sum())
        self._total += len(gt)
        self._y_true.extend(gt.tolist())
        self._y_pred.extend(predicted.tolist())

    def evaluate(self) -> dict[str, float]:
        if not self._total:
            raise ValueError("nothing to evaluate: no images were processed since the last reset")
        y_true, y_pred = np.array(self._y_true), np.array(self._y_pred)
        accuracy = 100.0 * self._correct / self._total
        results = {
            "accuracy": accuracy,
            "error_rate": 100.0 - accuracy,
            "macro_f1": 100.0 * macro_f1(y_true, y_pred),
        }
        print("=> result")
        print(f"* total: {self._total:,}")
        print(f"* correct: {self._correct:,}")
        print(f"* accuracy: {results['accuracy']:.1f}%")
        print(f"* error: {results['error_rate']:.1f}%")
        print(f"* macro_f1: {results['macro_f1']:.1f}%")
        if self.cfg.TEST.PER_CLASS_RESULT:
            results["perclass_accuracy"] = self._report_per_class(y_true, y_pred)
        if self.cfg.TEST.COMPUTE_CMAT:
            path = os.path.join(self.cfg.OUTPUT_DIR, "cmat.pt")
            with replaced_when_complete(path) as temporary:
                torch.save(torch.from_numpy(confusion_matrix(y_true, y_pred)), temporary)
            print(f"Confusion matrix is saved to {path}")
        return results

    def _report_per_class(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """Print a line for each class that occurs; returns the mean of their accuracies in percent."""
        print("=> per-class result")
        accuracies = []
        for label in np.unique(y_true).tolist():
            hits = y_pred[y_true == label] == label
            accuracies.append(100.0 * hits.sum() / len(hits))
            print(
                f"* class: {label} ({self._lab2cname[label]})\ttotal: {len(hits):,}\t"
                f"correct: {hits.sum():,}\tacc: {accuracies[-1]:.1f}%"
            )
        mean = float(np.mean(accuracies))
        print(f"* average: {mean:.1f}%")
        return mean


def macro_f1(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean over the classes that occur in ``y_true`` of F1 = 2 hits / (occurrences + predictions), from 0 to 1."""
    scores = []
    for label in np.unique(y_true):
        is_true, is_predicted = y_true == label, y_pred == label
        scores.append(2 * (is_true & is_predicted).sum() / (is_true.sum() + is_predicted.sum()))
    return float(np.mean(scores))


def confusion_matrix(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """(n, n): fraction of the images of each class (row) predicted as each class (column); only classes that occur."""
    labels = np.union1d(y_true, y_pred)
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (np.searchsorted(labels, y_true), np.searchsorted(labels, y_pred)), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
