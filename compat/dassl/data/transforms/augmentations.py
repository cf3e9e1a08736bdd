"""Augmentations that torchvision does not have."""

import random

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F


class Random2DTranslation:
    """With probability ``p`` a random crop out of the image enlarged by an eighth, else the image resized."""

    def __init__(
        self,
        height: int,
        width: int,
        p: float = 0.5,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    ):
        self.height = height
        self.width = width
        self.p = p
        self.interpolation = interpolation

    def __call__(self, img: Image.Image) -> Image.Image:
        if random.uniform(0, 1) > self.p:
            return F.resize(img, [self.height, self.width], self.interpolation)
        height, width = round(self.height * 1.125), round(self.width * 1.125)
        enlarged = F.resize(img, [height, width], self.interpolation)
        left = round(random.uniform(0, width - self.width))
        top = round(random.uniform(0, height - self.height))
        return F.crop(enlarged, top, left, self.height, self.width)


class InstanceNormalization:
    """Each channel (first axis) of an image tensor to mean 0 and standard deviation 1."""

    def __init__(self, eps: float = 1e-8):
        self.eps = eps

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        mean, std = img.mean(dim=(1, 2), keepdim=True), img.std(dim=(1, 2), keepdim=True)
        return (img - mean) / (std + self.eps)


class Cutout:
    """Zeros in ``n_holes`` squares of ``length`` pixels, cut at the border (DeVries and Taylor, arXiv:1708.04552)."""

    def __init__(self, n_holes: int = 1, length: int = 16):
        self.n_holes = n_holes
        self.length = length

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        height, width = img.shape[1:]
        half = self.length // 2
        img = img.clone()
        for _ in range(self.n_holes):
            y, x = np.random.randint(height), np.random.randint(width)
            img[:, max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0.0
        return img


class GaussianNoise:
    """With probability ``p`` adds normal noise to an image tensor."""

    def __init__(self, mean: float = 0.0, std: float = 0.15, p: float = 0.5):
        self.mean = mean
        self.std = std
        self.p = p

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        if random.uniform(0, 1) > self.p:
            return img
        return img + torch.randn(img.shape) * self.std + self.mean
