"""Transforms from a PIL image to the input of an image tower."""

from collections.abc import Callable

from PIL import Image
from torch import Tensor

from ..clip.towers import Preprocessing
from ..import_guards import import_torchvision

Transform = Callable[[Image.Image], Tensor]


def training_transform(preprocessing: Preprocessing, scale: tuple[float, float] = (0.08, 1.0)) -> Transform:
    """Random resized crop and flip, used by all methods: PIL image -> (3, size, size), normalised.

    Args:
        scale: smallest and largest area of a crop, as a fraction of the image.
    """
    import_torchvision()
    from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor

    size = (preprocessing.size, preprocessing.size)
    return Compose(
        [
            RandomResizedCrop(size, scale=scale, interpolation=_mode(preprocessing)),
            RandomHorizontalFlip(),
            ToTensor(),
            Normalize(preprocessing.mean, preprocessing.std),
        ]
    )


def evaluation_transform(preprocessing: Preprocessing) -> Transform:
    """The tower's own preprocessing: PIL image -> (3, size, size), normalised."""
    import_torchvision()
    from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

    size = preprocessing.size
    if preprocessing.resize == "squash":
        resize = [Resize((size, size), interpolation=_mode(preprocessing))]
    else:
        resize = [Resize(size, interpolation=_mode(preprocessing)), CenterCrop(size)]
    return Compose([*resize, ToTensor(), Normalize(preprocessing.mean, preprocessing.std)])


def _mode(preprocessing: Preprocessing):
    from torchvision.transforms import InterpolationMode

    return InterpolationMode(preprocessing.interpolation)
