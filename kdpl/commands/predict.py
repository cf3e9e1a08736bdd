"""Classify images with learned prompts: one line per image, with probability and class."""

import argparse
from pathlib import Path

from . import add_device, read_names

EXAMPLE = "kdpl predict prompts.safetensors photo.jpg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("prompts", type=Path, help="prompt file")
    add("images", nargs="+", type=Path, help="image files, or one folder")
    add("--classnames", type=Path, help="file of names; by default those of the training")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    from ..classifier import load
    from ..images.files import list_images

    classifier = load(args.prompts, read_names(args.classnames), device=args.device)
    folder = len(args.images) == 1 and args.images[0].is_dir()
    images = list_images(args.images[0]) if folder else args.images
    for image, prediction in zip(images, classifier.predict(images, top=1), strict=True):
        print(f"{image}\t{prediction.probability:.3f}\t{prediction.classname}")
