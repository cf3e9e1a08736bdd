"""Export a classifier to ONNX, to a PyTorch program, or as text features.

The file extension decides: .onnx, .pt2, or .safetensors for text features to use with a plain CLIP. The exported file
is loaded and run, and its largest difference from this library is printed.
"""

import argparse
from pathlib import Path

from . import add_prompts, load_classifier

EXAMPLE = "kdpl export prompts.safetensors classifier.onnx --with-preprocessing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_prompts(parser)
    add = parser.add_argument
    add("output", type=Path, help="file to write: .onnx, .pt2 or .safetensors")
    add("--with-preprocessing", action="store_true", help="export a model that takes uint8 images (of one size per "
        "batch) and resizes, crops and normalises them itself")  # fmt: skip
    add("--images", type=Path, metavar="FOLDER", help="images to compare on (default: noise)")


def run(args: argparse.Namespace) -> None:
    from ..atomic_files import check_place
    from ..export import check_export

    check_export(args.output, args.with_preprocessing)
    check_place(args.output)
    classifier = load_classifier(args)
    report = classifier.export(args.output, with_preprocessing=args.with_preprocessing, images=args.images)
    print(f"{args.output}: {report}")
