"""Converting images preprocessed for one CLIP to the input of another, on the device."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .towers import Preprocessing


class Adaptation:
    """Converts images that were normalised for one CLIP into the input of another."""

    def __init__(
        self,
        target: Preprocessing,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        device: torch.device,
    ):
        """
        Args:
            target: the preprocessing to convert to; training images are square, so they are never cropped or squashed.
            mean, std: current normalisation of the images; None: the target's.
        """
        self.target = target
        mean_std = torch.tensor([mean or target.mean, std or target.std, target.mean, target.std])
        mean, std, own_mean, own_std = mean_std.to(device)[..., None, None]  # (3, 1, 1) each
        self.same_pixels = torch.equal(mean, own_mean) and torch.equal(std, own_std)
        self.pixel_scale, self.pixel_shift = std / own_std, (mean - own_mean) / own_std

    @property
    def identity(self) -> list | None:
        """Plain values that identify the conversion; None if pixels are unchanged except for bicubic resizing."""
        changed = None if self.same_pixels else [p.flatten().tolist() for p in (self.pixel_scale, self.pixel_shift)]
        return changed if self.target.interpolation == "bicubic" else [changed, self.target.interpolation]

    def __call__(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, 3, size, size)."""
        size, mode = self.target.size, self.target.interpolation
        if image.shape[-2:] != (size, size):
            image = F.interpolate(image, size=(size, size), mode=mode, antialias=mode != "nearest")
        return image if self.same_pixels else image * self.pixel_scale + self.pixel_shift
