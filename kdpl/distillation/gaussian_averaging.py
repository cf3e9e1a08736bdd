"""PromptSRC's Gaussian average of the prompts over epochs (Khattak et al., ICCV 2023, arXiv:2307.06948)."""

import math

import torch
from torch import Tensor, nn


def gaussian_weights(mean: float, std: float, n_epochs: int) -> list[float]:
    """Weights of epochs 1 to n_epochs: a normal density over epoch numbers, scaled to sum to 1.

    Raises:
        ValueError: if the density is 0 at every epoch.
    """
    densities = [math.exp(-0.5 * ((epoch - mean) / std) ** 2) for epoch in range(1, n_epochs + 1)]
    if not sum(densities):
        raise ValueError(
            f"The Gaussian average of the prompts (GPA_MEAN {mean:g}, GPA_STD {std:g}) gives all {n_epochs} epochs "
            "zero weight. Choose a mean within the epochs."
        )
    return [density / sum(densities) for density in densities]


class GaussianAverage:
    """The weighted sum of a module's learned tensors over the epochs so far."""

    def __init__(self, mean: float, std: float, n_epochs: int):
        """
        Args:
            mean, std: in epochs.
        """
        self.weights = gaussian_weights(mean, std, n_epochs)
        self.total: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, module: nn.Module, epoch: int) -> None:
        """Add the tensors as they are after ``epoch``, counted from 0."""
        for name, parameter in module.named_parameters():
            weighted = self.weights[epoch] * parameter.detach()
            self.total[name] = self.total[name] + weighted if name in self.total else weighted

    def apply(self, module: nn.Module) -> None:
        """Replace the module's tensors by the average."""
        module.load_state_dict(self.total)
