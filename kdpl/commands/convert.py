"""Convert a checkpoint to a prompt file, or a prompt file to a checkpoint in the published layout.

The extension of the second file decides: .safetensors means a prompt file, anything else a checkpoint.
"""

import argparse
from pathlib import Path

from . import add_prompts, load_classifier

EXAMPLE = "kdpl convert model.pth.tar-50 prompts.safetensors --method CoOp --student ViT-B/16"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_prompts(parser)
    parser.add_argument("output", type=Path, help="file to write, such as prompts.safetensors or model.pth.tar-50")


def run(args: argparse.Namespace) -> None:
    from ..atomic_files import check_place
    from ..conversion import save_published

    if args.output.exists() and args.output.samefile(args.prompts):
        raise ValueError(f"{args.output} is the input file; choose another output.")
    check_place(args.output)
    classifier = load_classifier(args)
    if args.output.suffix == ".safetensors":
        classifier.save(args.output)
        layout = "prompt file"
    else:
        save_published(args.output, classifier.model.prompt_learner, classifier.description)
        layout = "checkpoint in the published layout"
    description = classifier.description
    print(f"{args.output}: {description['method']} for {description['student']['name']}, {layout}")
