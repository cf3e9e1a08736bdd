"""How far teacher and student agree before training, and whether the teacher is worth following."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from dassl.data import DatasetWrapper
from dassl.data.transforms import build_transform
from torch import Tensor, nn
from torch.utils.data import DataLoader
from yacs.config import CfgNode

N_IMAGES = 100  # a look, not an evaluation: it must cost little beside the training


@torch.no_grad()
def measure_agreement(
    teacher: nn.Module, student: nn.Module, train_items: Sequence, labelled_items: Sequence, cfg: CfgNode
) -> dict[str, Any]:
    """Compare two classifiers on a sample of the training images and, by their labels, of labelled images.

    What is found is only reported: no label that is read here has a part in the training.

    Args:
        teacher, student: (batch, 3, height, width) -> logits (batch, n_cls) of the same classes.
        labelled_items: images whose labels are of these classes, or none.

    Returns:
        Percentages: ``agreement``, and ``teacher_accuracy`` and ``student_accuracy`` where there are labels.
    """
    pairs = [(teacher(image).argmax(-1), student(image).argmax(-1)) for image, _ in _batches(train_items, cfg)]
    found = {"images": sum(len(t) for t, _ in pairs), "agreement": _percent([t == s for t, s in pairs])}
    if labelled_items:
        batches = list(_batches(labelled_items, cfg))
        for name, model in (("teacher", teacher), ("student", student)):
            found[f"{name}_accuracy"] = _percent([model(image).argmax(-1) == label for image, label in batches])
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


def _batches(items: Sequence, cfg: CfgNode) -> Iterator[tuple[Tensor, Tensor]]:
    device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
    sample = random.Random(0).sample(list(items), min(N_IMAGES, len(items)))
    wrapped = DatasetWrapper(cfg, sample, transform=build_transform(cfg, is_train=False), is_train=False)
    loader = DataLoader(wrapped, batch_size=cfg.DATALOADER.TEST.BATCH_SIZE)
    return ((batch["img"].to(device), batch["label"].to(device)) for batch in loader)


def _percent(right: list[Tensor]) -> float:
    return round(100 * torch.cat(right).float().mean().item(), 2)
