"""Evaluating a classifier on labelled images."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from ..classifier import Classifier
from ..evaluation import Counts
from ..images.labelled import labelled_images
from ..ranges import whole
from .items import Item, in_batches
from .loading import default_workers, load_batches

Z_95 = 1.959963984540054  # quantile of the normal distribution at 97.5 %


class Evaluation(NamedTuple):
    """The result of an evaluation."""

    counts: Counts
    result: dict[str, Any]
    interval: tuple[float, float]  # 95 % confidence interval of the accuracy, in percent
    unreadable: list[str]


def evaluate_folder(
    classifier: Classifier, images: Sequence[Path], root: Path, batch_size: int, n_workers: int | None
) -> Evaluation:
    """Classify images whose folders below ``root`` are their classes, in the same batches as the trainers.

    Unreadable images are skipped and listed.

    Raises:
        ValueError: if none can be read.
    """
    whole(1).check("The batch size", batch_size)
    labels = {str(path): label for path, label in labelled_images(images, root, classifier.classnames)}
    device = classifier.model.device
    counts = Counts(classifier.classnames, device, per_image=True)
    n_workers = default_workers(device, len(images), batch_size) if n_workers is None else n_workers
    batches = list(in_batches((Item(str(path), str(path)) for path in images), batch_size))
    loaded = load_batches(batches, classifier.transform, classifier.model.clip.preprocessing.size, n_workers)
    unreadable: list[str] = []
    kept: list[list[Item]] = []

    def readable():
        for items, pixels, errors in loaded:
            unreadable.extend(error for error in errors if error)
            rows = [i for i, error in enumerate(errors) if not error]
            if rows:
                kept.append([items[i] for i in rows])
                yield pixels[rows]

    with tqdm(total=len(images), unit="image", disable=None) as bar:
        for logits in classifier.each_logits(readable()):
            items = kept.pop()
            label = torch.tensor([labels[item.path] for item in items], device=device)
            counts.add(logits, label, [os.path.abspath(item.path) for item in items])
            bar.update(len(items))
    result = counts.result()
    if not result["total"]:
        raise ValueError(f"None of the {len(images)} images in {root} can be read: {unreadable[0]}")
    return Evaluation(counts, result, wilson_interval(result["correct"], result["total"]), unreadable)


def wilson_interval(correct: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's confidence interval (1927) of a proportion, in percent; valid for few images, and at 0 and 100 %.

    >>> [round(bound, 2) for bound in wilson_interval(8, 10)]
    [49.02, 94.33]
    """
    share = correct / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 100 / (1 + z * z / total)
    return max(0.0, scale * (centre - half)), min(100.0, scale * (centre + half))
