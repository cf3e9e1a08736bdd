"""Resizing, cropping and normalisation as matrix products, which any runtime supports for any image size."""

import torch
from torch import Tensor, nn

from ..clip.towers import Preprocessing

REACH = {"bicubic": 2, "bilinear": 1}  # radius of the filters, in pixels


class InsidePreprocessing(nn.Module):
    """uint8 images (batch, 3, height, width) of one size -> normalised (batch, 3, size, size).

    Same filters as Pillow, including its rounding to whole numbers after each direction.
    """

    def __init__(self, preprocessing: Preprocessing):
        """
        Raises:
            ValueError: if the interpolation is not implemented here.
        """
        super().__init__()
        if preprocessing.interpolation not in REACH:
            raise ValueError(
                f"{preprocessing.interpolation!r} interpolation cannot be exported (only {', '.join(REACH)}); export "
                "without preprocessing."
            )
        self.target = preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(preprocessing.std)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        rows = torch.arange(image.shape[2])
        columns = torch.arange(image.shape[3])
        height, width = rows[-1] + 1, columns[-1] + 1  # tensors, so that the exported program takes any size
        if self.target.resize == "squash":
            resized_height = resized_width = torch.full_like(height, self.target.size)
        else:
            shorter = torch.minimum(height, width)
            resized_height = torch.div(height * self.target.size, shorter, rounding_mode="floor")
            resized_width = torch.div(width * self.target.size, shorter, rounding_mode="floor")
        x = _round_to_byte(image.float() @ self._filter(columns, width, resized_width).T)
        x = _round_to_byte(self._filter(rows, height, resized_height) @ x)
        return (x / 255 - self.mean) / self.std

    def _filter(self, positions: Tensor, n: Tensor, n_resized: Tensor) -> Tensor:
        """Weights (size, n) that resize n pixels to ``n_resized`` and keep the central ``size`` of them."""
        first = torch.round((n_resized - self.target.size).float() / 2)  # half to even, as in torchvision's crop
        scale = n.float() / n_resized.float()
        stretch = scale.clamp_min(1.0)
        reach = REACH[self.target.interpolation] * stretch
        centre = ((torch.arange(self.target.size) + first + 0.5) * scale)[:, None]  # (size, 1)
        inside = (positions >= torch.floor(centre - reach + 0.5)) & (positions < torch.floor(centre + reach + 0.5))
        distance = ((positions + 0.5 - centre) / stretch).abs()
        weights = (_cubic(distance) if self.target.interpolation == "bicubic" else (1 - distance).clamp_min(0)) * inside
        return weights / weights.sum(dim=1, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Keys' filter with a = -0.5, at distances x >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _round_to_byte(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5).clamp(0, 255)
