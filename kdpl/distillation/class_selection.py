"""Selecting the classes that a batch is distilled on in class-agnostic training (KDPL-CA)."""

from torch import Tensor


def most_likely_classes(teacher_logits: Tensor, max_classes: int) -> Tensor:
    """The classes with the highest mean teacher probability over a batch; does not synchronise with the device.

    Args:
        teacher_logits: (batch, n_cls) over the whole vocabulary.
        max_classes: number of classes to keep, K_MAX in the paper.

    Returns:
        (k,) class indices in ascending order, k = min(max_classes, n_cls).
    """
    mean_probability = teacher_logits.float().softmax(dim=-1).mean(dim=0)
    return mean_probability.topk(min(max_classes, mean_probability.numel())).indices.sort().values


def keeps_all(max_classes: int | None, n_cls: int) -> bool:
    """Whether every step covers all classes; None means no limit."""
    return max_classes is None or max_classes >= n_cls
