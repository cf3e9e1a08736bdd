"""What it takes to read a picture."""

import io
from collections.abc import Callable

from PIL import Image
from torch import Tensor

from ..clip.towers import Preprocessing
from ..images.transforms import training_transform

SIZE = (500, 375)  # of a usual photo in the benchmarks, pixels


def picture_reader(preprocessing: Preprocessing) -> Callable[[], Tensor]:
    """Decodes a JPEG of usual size, and augments it for a training."""
    content = io.BytesIO()
    Image.effect_noise(SIZE, 40).convert("RGB").save(content, "JPEG")
    transform = training_transform(preprocessing)
    return lambda: transform(Image.open(content).convert("RGB"))
