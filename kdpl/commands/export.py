"""Export a classifier to ONNX, to a PyTorch program, or to a plain matrix of text features.

The ending of the file decides: .onnx, .pt2, or .safetensors for the matrix, which works with a plain CLIP. What was
written is read again and run, and the largest difference to this library is printed.
"""

import argparse
from pathlib import Path

from . import add_prompts, load_classifier

EXAMPLE = "kdpl export prompts.safetensors classifier.onnx --with-preprocessing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_prompts(parser)
    add = parser.add_argument
    add("output", type=Path, help="file to write: .onnx, .pt2 or .safetensors")
    add("--with-preprocessing", action="store_true", help="take uint8 images of any one size per batch, and resize, "
        "crop and normalise them inside")  # fmt: skip
    add("--images", type=Path, metavar="FOLDER", help="images to compare on; by default drawn noise")


def run(args: argparse.Namespace) -> None:
    from ..export import check_export

    check_export(args.output, args.with_preprocessing)
    classifier = load_classifier(args)
    report = classifier.export(args.output, with_preprocessing=args.with_preprocessing, images=args.images)
    print(f"{args.output}: {report}")
