"""Learn prompts from a folder of photos, without labels."""

import argparse
from pathlib import Path

from . import add_device, read_names

EXAMPLE = "kdpl train photos --classnames names.txt --output prompts.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photos", type=Path, help="folder of images")
    add("--classnames", type=Path, help="file with one name per line; without it: class-agnostic")
    add("--method", default="CoOp", help="CoOp, CoCoOp, VPT, MaPLe, PromptSRC or KgCoOp")
    add("--student", default="ViT-B/32", help="the CLIP to learn prompts for")
    add("--teacher", default="ViT-L/14", help="the CLIP to learn from")
    add("--epochs", type=int, help="by default as published for the method")
    add("--seed", type=int, default=1)
    add_device(parser)
    add("--precision", default="fp32", help="fp32, bf16, fp16 or amp")
    add("--output", type=Path, default=Path("prompts.safetensors"), help="prompt file to write")


def run(args: argparse.Namespace) -> None:
    from ..distill import distill

    distill(
        args.photos, read_names(args.classnames), method=args.method, student=args.student, teacher=args.teacher,
        epochs=args.epochs, seed=args.seed, device=args.device, precision=args.precision, output=args.output,
    )  # fmt: skip
    names = "" if args.classnames else " --classnames FILE"
    print(f"Prompts are in {args.output}. Classify with them: kdpl predict {args.output} PHOTO{names}")
