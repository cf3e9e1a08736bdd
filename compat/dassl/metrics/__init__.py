"""Measures of a model's output."""

import torch


def compute_accuracy(
    output: torch.Tensor | list | tuple, target: torch.Tensor, topk: tuple[int, ...] = (1,)
) -> list[torch.Tensor]:
    """Percentage of rows whose class is among the k highest outputs, for each k.

    Args:
        output: (batch, n_cls), or a list or tuple that starts with it.
        target: (batch,), class indices.
        topk: the numbers k.

    Returns:
        For each k a tensor of shape (1,), in percent.
    """
    if isinstance(output, list | tuple):
        output = output[0]
    ranked = output.topk(max(topk), dim=1).indices  # (batch, max k)
    hits = ranked == target[:, None]
    return [hits[:, :k].float().sum().reshape(1) * (100.0 / len(target)) for k in topk]
