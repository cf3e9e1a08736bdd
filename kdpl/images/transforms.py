"""From a picture to a tower's input."""

from collections.abc import Callable

from PIL import Image
from torch import Tensor

from ..clip.towers import Preprocessing
from ..import_guards import import_torchvision

Transform = Callable[[Image.Image], Tensor]


def training_transform(preprocessing: Preprocessing, scale: tuple[float, float] = (0.08, 1.0)) -> Transform:
    """Random resized crop and flip, as all methods train with: a picture -> (3, size, size), normalised.

    Args:
        scale: smallest and largest share of the picture's area in a crop.
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
    """What the tower was trained to see: a picture -> (3, size, size), normalised."""
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
