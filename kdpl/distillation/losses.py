"""The losses of KDPL and of the methods it builds on."""

import torch.nn.functional as F
from torch import Tensor


def symmetric_kl(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean of the forward and the reverse KL divergence between two class distributions.

    The distillation loss of KDPL (Mistretta et al., ECCV 2024, arXiv:2407.03056).

    >>> import math, torch
    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    >>> round(symmetric_kl(student, teacher).item(), 4)  # half of 3/4 ln 3/2 + 1/4 ln 1/2 and of 1/2 ln 2/3 + 1/2 ln 2
    0.1373

    Args:
        student_logits: (batch, n_cls), multiplied by the logit scale.
        teacher_logits: (batch, n_cls), the same classes in the same order, without gradient.

    Returns:
        Scalar in nats, averaged over the batch.

    Raises:
        ValueError: if the two shapes differ.
    """
    forward, reverse = kl_divergences(student_logits, teacher_logits)
    return 0.5 * forward + 0.5 * reverse


def kl_divergences(student_logits: Tensor, teacher_logits: Tensor) -> tuple[Tensor, Tensor]:
    """KL(teacher || student) and KL(student || teacher): two scalars in nats, see :func:`symmetric_kl`."""
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"Student logits {tuple(student_logits.shape)} and teacher logits {tuple(teacher_logits.shape)} "
            "must have the same shape, for the same images and classes."
        )
    student = student_logits.float().log_softmax(dim=-1)
    teacher = teacher_logits.float().log_softmax(dim=-1)
    forward = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    reverse = F.kl_div(teacher, student, reduction="batchmean", log_target=True)
    return forward, reverse


def self_consistency(
    image_features: Tensor, frozen_image_features: Tensor, text_features: Tensor, frozen_text_features: Tensor,
    logits: Tensor, frozen_logits: Tensor, image_weight: float, text_weight: float,
) -> dict[str, Tensor]:  # fmt: skip
    """PromptSRC's three terms that keep prompts close to the unprompted CLIP (Khattak et al., arXiv:2307.06948).

    Args:
        image_features, frozen_image_features: (batch, embed_dim), normalised.
        text_features, frozen_text_features: (n_cls, embed_dim), normalised.
        logits, frozen_logits: (batch, n_cls), both with the student's scale.
        image_weight, text_weight: weights of the mean absolute differences.

    Returns:
        Three weighted scalars; the KL divergence is in nats, divided by batch size and number of classes.
    """
    student, frozen = logits.float().log_softmax(dim=-1), frozen_logits.float().log_softmax(dim=-1)
    divergence = F.kl_div(student, frozen, reduction="sum", log_target=True) / logits.numel()
    return {
        "loss_text": text_weight * F.l1_loss(text_features, frozen_text_features),
        "loss_image": image_weight * F.l1_loss(image_features, frozen_image_features),
        "loss_logits": divergence,
    }
