"""How far teacher and student agree before training, and whether the teacher is worth following."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..clip.zero_shot import ZeroShotClassifier
from ..images.seeded_loader import picture

N_IMAGES = 100  # a look, not an evaluation: it must cost little beside the training
BATCH = 50  # images


@torch.no_grad()
def measure_agreement(
    teacher: Callable[[Tensor], Tensor],
    student: ZeroShotClassifier,
    images: Sequence,
    transform: Callable[..., Tensor],
    labelled: Sequence[tuple[Any, int]] = (),
) -> dict[str, Any]:
    """Compare two classifiers on a sample of images and, by their labels, of labelled images.

    What is found is only reported: no label that is read here has a part in the training.

    Args:
        teacher: (batch, 3, height, width) -> logits (batch, n_cls) of the same classes, on the student's device.
        images: as :func:`picture` takes them.
        transform: of the evaluation.
        labelled: images and labels of the classes that the two tell apart, or none.

    Returns:
        Percentages: ``agreement``, and ``teacher_accuracy`` and ``student_accuracy`` where there are labels.
    """

    def predict(chosen: Sequence) -> tuple[Tensor, Tensor]:
        """Classes by teacher and student, (n,) each."""
        found = []
        for start in range(0, len(chosen), BATCH):
            batch = torch.stack([transform(picture(item)) for item in chosen[start : start + BATCH]]).to(student.device)
            found.append(torch.stack([teacher(batch).argmax(-1), student(batch).argmax(-1)]).cpu())
        return torch.cat(found, dim=1).unbind()

    sample = [images[i] for i in _sample(len(images))]
    by_teacher, by_student = predict(sample)
    found = {"images": len(sample), "agreement": _percent(by_teacher == by_student)}
    if labelled:
        chosen = [labelled[i] for i in _sample(len(labelled))]
        label = torch.tensor([label for _, label in chosen])
        by_teacher, by_student = predict([image for image, _ in chosen])
        found |= {"teacher_accuracy": _percent(by_teacher == label), "student_accuracy": _percent(by_student == label)}
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


def _sample(n: int) -> list[int]:
    """Indices of at most N_IMAGES of n images, the same every time."""
    return random.Random(0).sample(range(n), min(N_IMAGES, n))


def _percent(right: Tensor) -> float:
    return round(100 * right.float().mean().item(), 2)
