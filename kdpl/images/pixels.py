"""Transferring pixels as bytes and normalising them on the device: a quarter of the data, less work for the host."""

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from ..import_guards import import_torchvision
from ..random_streams import drawing_from


class Normalise:
    """Bytes (..., 3, height, width) -> float32, bit-identical to torchvision's ToTensor and Normalize.

    >>> Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))(torch.full((3, 1, 1), 255, dtype=torch.uint8)).flatten()
    tensor([1., 1., 1.])
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        self.constants = torch.tensor([[255.0] * 3, list(mean), list(std)])[..., None, None]  # (3, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        if pixels.device != self.constants.device:
            self.constants = self.constants.to(pixels.device)
        largest, mean, std = self.constants
        # Tensors, because a GPU replaces division by a Python number with multiplication, which rounds differently.
        return pixels.to(torch.float32).div(largest).sub_(mean).div_(std)


def split_transform(
    transform: Callable[[Image.Image], Tensor],
) -> tuple[Callable[[Image.Image], Tensor], Callable[[Tensor], Tensor] | None]:
    """Split a transform into a part that ends with bytes and the rest for the device (None if it cannot be split).

    >>> from torchvision.transforms import Compose, Normalize, Resize, ToTensor
    >>> to_bytes, rest = split_transform(Compose([Resize(8), ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)]))
    >>> to_bytes(Image.new("RGB", (8, 8))).dtype, rest is None, split_transform(Resize(8))[1] is None
    (torch.uint8, False, True)
    """
    import_torchvision()
    from torchvision.transforms import Compose, Normalize, PILToTensor, ToTensor

    steps = transform.transforms if type(transform) is Compose else []
    if [type(step) for step in steps[-2:]] != [ToTensor, Normalize] or len(steps[-1].mean) != 3:
        return transform, None
    return Compose([*steps[:-2], PILToTensor()]), Normalise(steps[-1].mean, steps[-1].std)


def shape_after(transform: Callable[[Image.Image], Tensor]) -> tuple[int, ...]:
    """The shape of what a transform makes of a photo, without touching the global random generators."""
    with drawing_from(0):
        return tuple(transform(Image.new("RGB", (512, 512))).shape)
