"""Which classes a batch is distilled on when nobody knows the class names (KDPL-CA)."""

from torch import Tensor


def most_likely_classes(teacher_logits: Tensor, max_classes: int) -> Tensor:
    """The classes that the teacher finds most likely in a batch, on the device and without waiting for it.

    Args:
        teacher_logits: (batch, n_cls) over the whole vocabulary.
        max_classes: how many to keep, K_MAX of the paper.

    Returns:
        (k,) class indices in ascending order, k = min(max_classes, n_cls), by mean probability over the batch.
    """
    mean_probability = teacher_logits.float().softmax(dim=-1).mean(dim=0)
    return mean_probability.topk(min(max_classes, mean_probability.numel())).indices.sort().values


def keeps_all(max_classes: int | None, n_cls: int) -> bool:
    """Whether every step is over all classes; None stands for no limit."""
    return max_classes is None or max_classes >= n_cls
