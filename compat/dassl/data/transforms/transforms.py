"""Transforms built from the ``INPUT`` node; they are applied in the order of this file, not of ``TRANSFORMS``."""

from collections.abc import Callable, Iterator, Sequence

from torchvision.transforms import (
    AutoAugment,
    AutoAugmentPolicy,
    CenterCrop,
    ColorJitter,
    Compose,
    GaussianBlur,
    InterpolationMode,
    Normalize,
    RandAugment,
    RandomApply,
    RandomCrop,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToTensor,
)
from yacs.config import CfgNode

NAMES = (
    "random_crop",
    "random_resized_crop",
    "random_flip",
    "imagenet_policy",
    "cifar10_policy",
    "svhn_policy",
    "randaugment",
    "colorjitter",
    "randomgrayscale",
    "gaussian_blur",
    "normalize",
    "center_crop",  # always applied in testing, never in training
)

INTERPOLATION_MODES = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST,
}

Step = tuple[str, Callable]  # description for the log, function


def build_transform(cfg: CfgNode, is_train: bool = True, choices: Sequence[str] | None = None) -> Compose | None:
    """The transform for training or test: PIL image -> tensor (3, height, width).

    Args:
        cfg: the configuration.
        is_train: whether it is for training; otherwise, resize the shorter side and crop the centre.
        choices: names to use instead of ``INPUT.TRANSFORMS``.

    Returns:
        None with ``INPUT.NO_TRANSFORM``.

    Raises:
        ValueError: if a name or ``INPUT.INTERPOLATION`` is unknown.
    """
    if cfg.INPUT.NO_TRANSFORM:
        print("Note: no transform is applied!")
        return None
    choices = cfg.INPUT.TRANSFORMS if choices is None else choices
    for choice in choices:
        if choice not in NAMES:
            raise ValueError(
                f"unknown transform {choice!r} in TRANSFORMS; supported: {sorted(NAMES)}; install Dassl for others"
            )
    steps = _training_steps(cfg.INPUT, choices) if is_train else _test_steps(cfg.INPUT, choices)
    print(f"Building transform_{'train' if is_train else 'test'}")
    transforms = []
    for description, transform in steps:
        print(f"+ {description}")
        transforms.append(transform)
    return Compose(transforms)


def build_plain_transform(cfg: CfgNode) -> Compose:
    """PIL image -> tensor of ``INPUT.SIZE``, without augmentation; normalised if ``INPUT.TRANSFORMS`` says so."""
    transforms = [Resize(cfg.INPUT.SIZE, interpolation=_interpolation(cfg.INPUT)), ToTensor()]
    if "normalize" in cfg.INPUT.TRANSFORMS:
        transforms.append(Normalize(mean=cfg.INPUT.PIXEL_MEAN, std=cfg.INPUT.PIXEL_STD))
    return Compose(transforms)


def _training_steps(node: CfgNode, choices: Sequence[str]) -> Iterator[Step]:
    size, interpolation = node.SIZE, _interpolation(node)
    if "random_crop" not in choices and "random_resized_crop" not in choices:
        yield f"resize to {size[0]}x{size[1]}", Resize(size, interpolation=interpolation)
    if "random_crop" in choices:
        yield f"random crop (padding = {node.CROP_PADDING})", RandomCrop(size, padding=node.CROP_PADDING)
    if "random_resized_crop" in choices:
        yield (
            f"random resized crop (size={size}, scale={node.RRCROP_SCALE})",
            RandomResizedCrop(size, scale=node.RRCROP_SCALE, interpolation=interpolation),
        )
    if "random_flip" in choices:
        yield "random flip", RandomHorizontalFlip()
    yield from _colour_steps(node, choices)
    yield "to torch tensor of range [0, 1]", ToTensor()
    if "normalize" in choices:
        yield _normalization(node)


def _colour_steps(node: CfgNode, choices: Sequence[str]) -> Iterator[Step]:
    """Augmentations of the PIL image that keep its size. The learned policies and RandAugment are torchvision's."""
    for dataset in ("imagenet", "cifar10", "svhn"):
        if f"{dataset}_policy" in choices:
            yield f"{dataset} policy", AutoAugment(AutoAugmentPolicy(dataset))
    if "randaugment" in choices:
        n, magnitude = node.RANDAUGMENT_N, node.RANDAUGMENT_M
        yield f"randaugment (n={n}, m={magnitude})", RandAugment(n, magnitude)
    if "colorjitter" in choices:
        b, c, s, h = node.COLORJITTER_B, node.COLORJITTER_C, node.COLORJITTER_S, node.COLORJITTER_H
        yield f"color jitter (brightness={b}, contrast={c}, saturation={s}, hue={h})", ColorJitter(b, c, s, h)
    if "randomgrayscale" in choices:
        yield "random gray scale", RandomGrayscale(p=node.RGS_P)
    if "gaussian_blur" in choices:
        yield f"gaussian blur (kernel={node.GB_K})", RandomApply([GaussianBlur(node.GB_K)], p=node.GB_P)


def _test_steps(node: CfgNode, choices: Sequence[str]) -> Iterator[Step]:
    size, edge = node.SIZE, max(node.SIZE)
    yield f"resize the smaller edge to {edge}", Resize(edge, interpolation=_interpolation(node))
    yield f"{size[0]}x{size[1]} center crop", CenterCrop(size)
    yield "to torch tensor of range [0, 1]", ToTensor()
    if "normalize" in choices:
        yield _normalization(node)


def _normalization(node: CfgNode) -> Step:
    mean, std = node.PIXEL_MEAN, node.PIXEL_STD
    return f"normalization (mean={mean}, std={std})", Normalize(mean=mean, std=std)


def _interpolation(node: CfgNode) -> InterpolationMode:
    if node.INTERPOLATION not in INTERPOLATION_MODES:
        raise ValueError(f"INPUT.INTERPOLATION is {node.INTERPOLATION!r}; must be one of {sorted(INTERPOLATION_MODES)}")
    return INTERPOLATION_MODES[node.INTERPOLATION]
