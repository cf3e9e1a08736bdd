"""The commands of ``kdpl``, one module each.

Each module has a docstring whose first line is the command's help, a command line ``EXAMPLE``,
``add_arguments(parser)`` and ``run(args)``. Slow imports are inside ``run``.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import check_distinct
from ..outside import check_file

if TYPE_CHECKING:
    from ..classifier import Classifier

NAMES = (  # in the order of the help
    "train", "predict", "evaluate", "words", "show", "convert", "export", "models", "fetch", "verify", "cache",
    "doctor",
)  # fmt: skip


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option for the device."""
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: auto)")


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Add options for the prompts, and for facts that their file may lack."""
    add = parser.add_argument
    add("prompts", help="prompt file, checkpoint, or a repository on the Hugging Face Hub")
    add_classnames(parser, "default: those used in training")
    add("--method", help="method, such as CoOp, if the checkpoint does not record it")
    add(
        "--student",
        help="student, such as ViT-B/16, if the checkpoint does not record it; or another file with the same weights",
    )
    add("--set", dest="settings", metavar="NAME=VALUE", action="append", default=[], help="a setting that the file "
        "does not record, such as class_token_position=middle")  # fmt: skip
    add_device(parser)


def add_classnames(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """Add the option for class names."""
    parser.add_argument(
        "--classnames",
        metavar="FILE",
        help=f"file with one name per line, or names separated by commas, such as cat,dog ({otherwise})",
    )


def load_classifier(args: argparse.Namespace) -> "Classifier":
    """Load the classifier given by the options of :func:`add_prompts`."""
    from ..classifier import load

    return load(args.prompts, **loading_arguments(args))


def loading_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments for :func:`kdpl.load`, apart from the prompts."""
    return {
        "classnames": read_names(args.classnames),
        "device": args.device,
        "method": args.method,
        "student": args.student,
        "settings": dict(map(_setting, args.settings)),
    }


def read_names(names: str | None) -> list[str] | None:
    """Class names from a file with one name per line, or from a comma-separated list.

    >>> read_names("cat, dog")
    ['cat', 'dog']
    """
    if names is None:
        return None
    if "," in names and not Path(names).exists():
        found = [name.strip() for name in names.split(",")]
    else:
        check_file(names, "file with one class name per line (or names with commas: cat,dog)")
        from ..distillation.vocabulary import read_class_names

        found = read_class_names(Path(names))
    check_distinct(dict.fromkeys(found), names)
    return found


def shell_line(*words: str) -> str:
    """A ``kdpl`` command line to paste into a shell.

    >>> shell_line("show", "my prompts.safetensors").partition(" show ")[2]
    "'my prompts.safetensors'"
    """
    import shlex
    import sys

    installed = Path(sys.argv[0]).stem == "kdpl"  # otherwise run from a clone
    return f"{'kdpl' if installed else 'python -m kdpl'} {shlex.join(words)}"


def _setting(text: str) -> tuple[str, Any]:
    """Parse NAME=VALUE; the value is a number, a truth value or text."""
    import json

    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set takes NAME=VALUE, such as depth=9; got {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, {"True": True, "False": False}.get(value, value)
