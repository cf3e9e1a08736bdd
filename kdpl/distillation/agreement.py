"""Agreement of teacher and student before training, and whether the teacher is the better of the two."""

import random
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ..caching.features import FeatureCache
from ..clip.zero_shot import ZeroShotClassifier
from ..images.seeded_loader import picture
from .cached_features import evaluation_features
from .feature_source import computing_batch
from .teacher import Teacher

N_IMAGES = 100  # a quick check, not an evaluation: it must cost little compared with training
SHARE = 0.02  # at most this fraction of the images that the teacher processes in training
FEWEST, ALL_OF = 8, 20  # at least 8 images, and all of them if there are at most 20


@torch.no_grad()
def measure_agreement(
    teacher: Teacher,
    student: ZeroShotClassifier,
    images: Sequence,
    transform: Callable[..., Tensor],
    labelled: Sequence[tuple[Any, int]],
    cache: FeatureCache | None,
    root: str | None,
    most: int,
) -> dict[str, Any]:
    """Compare teacher and student on a sample of images and, if there are any, of labelled images.

    The result is only reported: labels read here have no influence on training.

    Args:
        teacher: for the student's classes, on the same device.
        images: as :func:`picture` takes them.
        transform: the evaluation transform.
        labelled: images with labels that index the two classifiers' classes; may be empty.
        cache, root: feature cache, see :func:`evaluation_features`.
        most: maximum size of each of the two samples.

    Returns:
        Percentages: ``agreement`` and, with labels, ``teacher_accuracy`` and ``student_accuracy``.
    """

    def predict(chosen: Sequence) -> tuple[Tensor, Tensor]:
        """Predictions of teacher and student, (n,) each."""
        size = computing_batch(student.device, max(teacher.frozen_tower.size, student.frozen_tower.size))
        batches = [range(start, min(start + size, len(chosen))) for start in range(0, len(chosen), size)]
        load = lru_cache(1)(lambda batch: torch.stack([transform(picture(chosen[i])) for i in batch]))
        towers = (
            evaluation_features(
                classifier.frozen_tower, student.device, cache, chosen, transform, batches, partial(map, load), root
            )
            for classifier in (teacher, student)
        )
        found = [
            torch.stack([teacher.logits(by_teacher).argmax(-1), student.logits(by_student).argmax(-1)]).cpu()
            for by_teacher, by_student in zip(*towers, strict=True)
        ]
        return torch.cat(found, dim=1).unbind()

    sample = [images[i] for i in _sample(len(images), most)]
    by_teacher, by_student = predict(sample)
    found = {"images": len(sample), "agreement": _percent(by_teacher == by_student)}
    if labelled:
        chosen = [labelled[i] for i in _sample(len(labelled), most)]
        label = torch.tensor([label for _, label in chosen])
        by_teacher, by_student = predict([image for image, _ in chosen])
        found |= {"teacher_accuracy": _percent(by_teacher == label), "student_accuracy": _percent(by_student == label)}
    return found


def look_at_agreement(
    teacher: Teacher,
    student: ZeroShotClassifier,
    transform: Callable[..., Tensor],
    training: Sequence[tuple[Any, int]],
    validation: Sequence[tuple[Any, int]],
    knows_classes: bool,
    n_views: int,
    cache: FeatureCache | None = None,
    root: str | None = None,
) -> dict[str, Any]:
    """Measure and print the agreement, and whether the teacher is better; see :func:`measure_agreement`.

    Args:
        training, validation: images with labels, -1 if unknown.
        knows_classes: whether the classifiers' classes are those of the labels.
        n_views: passes of each image through the teacher in training, which limit the size of the sample.
    """
    part, labelled = "validation", [item for item in validation if item[1] >= 0]
    if not labelled:  # allowed, because the accuracies are only printed
        part, labelled = "training", [item for item in training if item[1] >= 0]
    labelled, images = labelled if knows_classes else [], [image for image, _ in training]
    most = min(N_IMAGES, int(SHARE * n_views * len(images) / (1 + bool(labelled))))
    found = measure_agreement(teacher, student, images, transform, labelled, cache, root, max(FEWEST, most))
    report_agreement(found, part)
    return found


def report_agreement(found: dict[str, Any], labelled_part: str) -> None:
    """Print the result of :func:`measure_agreement`; warn if the teacher is no better than the student.

    Args:
        labelled_part: images that the accuracies refer to: "training" or "validation".
    """
    print(f"Zero-shot agreement of teacher and student: {found['agreement']:.1f}% of {found['images']} training images")
    if "teacher_accuracy" not in found:
        return
    teacher, student = found["teacher_accuracy"], found["student_accuracy"]
    print(f"Zero-shot accuracy on a sample of {labelled_part} images: teacher {teacher:.1f}%, student {student:.1f}%")
    if teacher <= student:
        print("Warning: the teacher is no better than the student here, so prompts learned from it may be worse.")


def _sample(n: int, most: int) -> list[int]:
    """The indices of a fixed random sample of n images: at most ``most``, or all if there are few."""
    return random.Random(0).sample(range(n), n if n <= ALL_OF else min(most, n))


def _percent(right: Tensor) -> float:
    return round(100 * right.float().mean().item(), 2)
