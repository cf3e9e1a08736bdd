"""Compare the trainers with golden numbers of the published implementation.

    python -m tests.parity [FILE.json] [--case REGEX]

Each case runs through the real trainer: configuration, CLIPs read from files, learned tensors read from a checkpoint
under their published names, evaluation, and three training steps. ``weights.py``, which generates the weights, is taken
from the folder of the file or else from kdpl/golden. Without FILE.json, the public file in kdpl/golden is used.
"""

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from kdpl.verification.errors import Errors
from kdpl.verification.golden_file import PUBLIC, Inputs, read_golden

from .case import run_case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "file", type=Path, nargs="?", default=PUBLIC,
        help="golden numbers, JSON (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--case", type=_regex, default="", metavar="REGEX", help="run the cases whose names match")
    args = parser.parse_args()
    try:
        golden, weights = read_golden(args.file)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    names = [name for name in golden["cases"] if re.search(args.case, name)]
    if not names:
        parser.error(f"No case of {args.file} matches {args.case!r}; there are {', '.join(golden['cases']) or 'none'}.")
    n_passed = 0
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, XDG_CACHE_HOME=folder):
        for name, errors in run_cases(golden, names, Inputs(golden, weights, Path(folder))):
            print(f"{'PASS' if errors.passed else 'FAIL'} {name}: worst relative error: {errors.line()}", flush=True)
            n_passed += errors.passed
    print(f"{n_passed} passed, {len(names) - n_passed} failed")
    return 0 if n_passed == len(names) else 1


def run_cases(golden: dict, names: list[str], inputs: Inputs) -> Iterator[tuple[str, Errors]]:
    """Run these cases; a case that raises counts as failed, and the others continue."""
    for name in names:
        try:
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                errors = run_case(golden["cases"][name], inputs, Path(folder))
        except Exception as error:  # one broken case must not stop the others
            errors = Errors()
            errors.faults.append(f"{type(error).__name__}: {error}")
        yield name, errors


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error
    return text


if __name__ == "__main__":
    sys.exit(main())
