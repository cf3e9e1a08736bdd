"""How far teacher and student agree before training, and whether the teacher is worth following."""

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
from .teacher import Teacher

N_IMAGES = 100  # a look, not an evaluation: it must cost little beside the training
SHARE = 0.02  # of the images that the teacher sees in the training, at most
FEWEST, ALL_OF = 8, 20  # but at least so many images, and all where there are no more than these
BATCH = 50  # images


@torch.no_grad()
def measure_agreement(
    teacher: Teacher,
    student: ZeroShotClassifier,
    images: Sequence,
    transform: Callable[..., Tensor],
    labelled: Sequence[tuple[Any, int]] = (),
    cache: FeatureCache | None = None,
    root: str | None = None,
    most: int = N_IMAGES,
) -> dict[str, Any]:
    """Compare two classifiers on a sample of images and, by their labels, of labelled images.

    What is found is only reported: no label that is read here has a part in the training.

    Args:
        teacher: of the same classes, on the student's device.
        images: as :func:`picture` takes them.
        transform: of the evaluation.
        labelled: images and labels of the classes that the two tell apart, or none.
        cache, root: of features, see :func:`evaluation_features`.
        most: images in each of the two samples.

    Returns:
        Percentages: ``agreement``, and ``teacher_accuracy`` and ``student_accuracy`` where there are labels.
    """

    def predict(chosen: Sequence) -> tuple[Tensor, Tensor]:
        """Classes by teacher and student, (n,) each."""
        batches = [range(start, min(start + BATCH, len(chosen))) for start in range(0, len(chosen), BATCH)]
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
    cache: FeatureCache | None = None,
    root: str | None = None,
    n_epochs: int | None = None,
) -> dict[str, Any]:
    """Measure and print whether the teacher has something to teach; see :func:`measure_agreement`.

    Args:
        training, validation: images with their labels, -1 where nobody knows it.
        knows_classes: whether the two classifiers tell the classes of the labels apart.
        n_epochs: of the training, beside which this must cost little; None for any number.
    """
    part, labelled = "validation", [item for item in validation if item[1] >= 0]
    if not labelled:  # the accuracies are told to the user, nothing more
        part, labelled = "training", [item for item in training if item[1] >= 0]
    labelled, images = labelled if knows_classes else [], [image for image, _ in training]
    most = N_IMAGES if n_epochs is None else min(N_IMAGES, int(SHARE * n_epochs * len(images) / (1 + bool(labelled))))
    found = measure_agreement(teacher, student, images, transform, labelled, cache, root, max(FEWEST, most))
    report_agreement(found, part)
    return found


def report_agreement(found: dict[str, Any], labelled_part: str) -> None:
    """Print what :func:`measure_agreement` found; warn of a teacher that has nothing to teach.

    Args:
        labelled_part: which images the accuracies are of: training or validation.
    """
    print(f"Zero-shot, teacher and student agree on {found['agreement']:.1f}% of {found['images']} training images")
    if "teacher_accuracy" not in found:
        return
    teacher, student = found["teacher_accuracy"], found["student_accuracy"]
    print(f"On {labelled_part} images (a sample) the teacher has {teacher:.1f}% right, the student {student:.1f}%")
    if teacher <= student:
        print("Warning: the teacher is not better than the student here. Prompts learned from it may well be worse.")


def _sample(n: int, most: int) -> list[int]:
    """Indices of at most so many of n images, the same every time; of all if they are few."""
    return random.Random(0).sample(range(n), n if n <= ALL_OF else min(most, n))


def _percent(right: Tensor) -> float:
    return round(100 * right.float().mean().item(), 2)
