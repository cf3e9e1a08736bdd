"""The commands of ``kdpl``, one module each.

A module has a docstring, whose first line is the command's help; ``EXAMPLE``, a command line;
``add_arguments(parser)``; and ``run(args)``. What takes long to import is imported by ``run``.
"""

import argparse
from pathlib import Path

NAMES = ("train", "predict", "show", "verify")  # in the order of the help


def add_device(parser: argparse.ArgumentParser) -> None:
    """The device to compute on."""
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: auto)")


def read_names(file: Path | None) -> list[str] | None:
    """Class names from a file with one per line."""
    from ..distillation.vocabulary import load_vocabulary

    return None if file is None else load_vocabulary(str(file))
