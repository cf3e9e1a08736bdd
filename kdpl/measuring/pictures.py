"""Measuring the time to read an image."""

import io
from collections.abc import Callable

from PIL import Image
from torch import Tensor

from ..clip.towers import Preprocessing
from ..images.transforms import training_transform

SIZE = (500, 375)  # pixels, typical of photos in the benchmarks


def picture_reader(preprocessing: Preprocessing) -> Callable[[], Tensor]:
    """A function that decodes and augments a JPEG of typical size."""
    content = io.BytesIO()
    Image.effect_noise(SIZE, 40).convert("RGB").save(content, "JPEG")
    transform = training_transform(preprocessing)
    return lambda: transform(Image.open(content).convert("RGB"))
