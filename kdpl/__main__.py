"""The command ``kdpl``, or ``python -m kdpl``: learn prompts from photos, classify with them, show prompt files."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

USER_ERROR, INTERRUPTED = 2, 130  # exit codes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for what its user can repair, told in one message on stderr."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("\nInterrupted. The same command continues after the last finished epoch.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kdpl", description="Prompts of a CLIP, learned from a larger CLIP.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(run, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            run.__name__, help=run.__doc__.splitlines()[0], description=run.__doc__, epilog=f"example: {example}"
        )
        command.set_defaults(run=run)
        return command

    command = add(train, "kdpl train photos --classnames names.txt --output prompts.safetensors")
    command.add_argument("photos", type=Path, help="folder of images")
    command.add_argument("--classnames", type=Path, help="file with one name per line; without it: class-agnostic")
    command.add_argument("--method", default="CoOp", help="CoOp, CoCoOp, VPT, MaPLe, PromptSRC or KgCoOp")
    command.add_argument("--student", default="ViT-B/32", help="the CLIP to learn prompts for")
    command.add_argument("--teacher", default="ViT-L/14", help="the CLIP to learn from")
    command.add_argument("--epochs", type=int, help="by default as published for the method")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    command.add_argument("--precision", default="fp32", help="fp32, bf16, fp16 or amp")
    command.add_argument("--output", type=Path, default=Path("prompts.safetensors"), help="prompt file to write")

    command = add(predict, "kdpl predict prompts.safetensors photo.jpg")
    command.add_argument("prompts", type=Path, help="prompt file")
    command.add_argument("images", nargs="+", type=Path, help="image files, or one folder")
    command.add_argument("--classnames", type=Path, help="file of names; by default those of the training")
    command.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")

    command = add(show, "kdpl show prompts.safetensors")
    command.add_argument("prompts", type=Path, help="prompt file, or a checkpoint")
    return parser


def train(args: argparse.Namespace) -> None:
    """Learn prompts from a folder of photos, without labels."""
    from .distill import distill

    distill(
        args.photos, _names(args.classnames), method=args.method, student=args.student, teacher=args.teacher,
        epochs=args.epochs, seed=args.seed, device=args.device, precision=args.precision, output=args.output,
    )  # fmt: skip
    names = "" if args.classnames else " --classnames FILE"
    print(f"Prompts are in {args.output}. Classify with them: kdpl predict {args.output} PHOTO{names}")


def predict(args: argparse.Namespace) -> None:
    """Classify images with learned prompts: one line per image, with probability and class."""
    from .classifier import load

    classifier = load(args.prompts, _names(args.classnames), device=args.device)
    folder = len(args.images) == 1 and args.images[0].is_dir()
    images = _listed(args.images[0]) if folder else args.images
    for image, prediction in zip(images, classifier.predict(images, top=1), strict=True):
        print(f"{image}\t{prediction.probability:.3f}\t{prediction.classname}")


def show(args: argparse.Namespace) -> None:
    """Tell what a prompt file holds and what its prompts belong to."""
    import json

    from .prompts.prompt_file import read_prompt_file

    tensors, description, _ = read_prompt_file(args.prompts)
    print(json.dumps(description, indent=1, ensure_ascii=False) if description else "It has no description.")
    for name, tensor in tensors.items():
        print(f"{name} {tuple(tensor.shape)}")


def _names(file: Path | None) -> list[str] | None:
    from .distillation.vocabulary import load_vocabulary

    return None if file is None else load_vocabulary(str(file))


def _listed(folder: Path) -> list[Path]:
    from .images.files import list_images

    return list_images(folder)


if __name__ == "__main__":
    sys.exit(main())
