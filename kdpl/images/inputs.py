"""The forms in which users pass images: paths, folders, PIL images, arrays, tensors, datasets, iterables of these."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .files import list_images
from .seeded_loader import picture


def each_image(images: Any) -> Iterator[Any]:
    """Yield the images in any supported form one by one, as :func:`to_picture` takes them.

    >>> len(list(each_image(np.zeros((5, 32, 48, 3), np.uint8)))), len(list(each_image("photo.jpg")))
    (5, 1)

    Args:
        images: one image, a folder, a batch of arrays or tensors (4 dimensions), a dataset, or any iterable, which is
            read lazily and may not fit in memory.
    """
    if isinstance(images, str | os.PathLike):
        yield from list_images(images) if Path(images).is_dir() else [images]
    elif isinstance(images, Image.Image) or (isinstance(images, np.ndarray | torch.Tensor) and images.ndim < 4):
        yield images
    elif isinstance(images, Iterable):
        yield from images
    elif hasattr(images, "__getitem__") and hasattr(images, "__len__"):  # a torch dataset
        yield from (images[i] for i in range(len(images)))
    else:
        raise TypeError(
            f"Images must be paths, PIL images, arrays or tensors, or several of these; got a {type(images).__name__}."
        )


def to_picture(image: Any) -> Image.Image:
    """Convert one image to an RGB PIL image.

    >>> to_picture(torch.rand(3, 32, 48)).size  # width, height
    (48, 32)

    Args:
        image: a path; a PIL image; an array (height, width, 3) or (height, width) for grey; a tensor (3, height,
            width); or a tuple that starts with one of these. Values are uint8 from 0 to 255, or floats from 0 to 1, not
            normalised.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if a file cannot be read, or an array has another shape or range.
        TypeError: if it is something else.
    """
    if isinstance(image, tuple | list) and image:
        image = image[0]  # the rest, such as a label, is never read
    if isinstance(image, torch.Tensor):
        if image.ndim == 3 and image.shape[0] not in (1, 3):
            raise ValueError(f"A tensor of shape {tuple(image.shape)} is not an image; expected (3, height, width).")
        image = (image.permute(1, 2, 0) if image.ndim == 3 else image).detach().cpu().numpy()
    return _from_array(image) if isinstance(image, np.ndarray) else picture(image)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise ValueError(f"An array of shape {array.shape} is not an image; expected (height, width, 3).")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(
                f"Float images must have values from 0 to 1, not normalised; these range from {array.min():.3g} to "
                f"{array.max():.3g}. Rescale them, or use uint8."
            )
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"Integer images must be uint8, from 0 to 255; these are {array.dtype}.")
    return Image.fromarray(array).convert("RGB")
