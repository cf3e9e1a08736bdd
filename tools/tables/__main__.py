"""Tables of finished runs: base to new, cross-dataset, domain generalisation, few-shot curves.

Reads every results.json below the folders, and log.txt of earlier runs with Dassl; prints the tables, and writes them
as an HTML page with plots, Markdown, LaTeX and CSV.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kdpl.guard import guarded, run_command
from kdpl.methods import METHODS
from kdpl.names import check_known
from trainers.kdpl.config import ZERO_SHOT

from .formats import FORMATS, write_all
from .layouts import all_tables
from .protocols import results_of
from .reading import read_runs

EXAMPLES = """examples:
  python -m tools.tables                              everything below output, written to output/tables
  python -m tools.tables output/base2new              only base to new
  python -m tools.tables output ~/CoOp/output         together with earlier runs of CoOp
  python -m tools.tables --format latex > tables.tex  a single format, printed
  python -m tools.tables --baseline ZeroshotCLIP      how much each row gains over the zero-shot student
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 2 for what the user can fix."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.tables",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folders", nargs="*", type=Path, default=[Path("output")], metavar="FOLDER", help="default: output")
    add("--format", choices=FORMATS, help="print only this format, and write no files")
    add("--to", type=Path, metavar="FOLDER", help="folder to write to (default: <first folder>/tables)")
    add("--baseline", metavar="TRAINER", help="compare all rows with this trainer (default: for KDPL the same method "
        "trained with labels; for all others, or if there is no such row, ZeroshotCLIP)")  # fmt: skip
    add("--ece", action="store_true", help="add the expected calibration error to each accuracy")
    args = parser.parse_args(arguments)
    return guarded(lambda: show(args))


def show(args: argparse.Namespace) -> None:
    """Print the tables and write them."""
    runs, problems = read_runs(args.folders)
    if args.baseline is not None:
        recorded = {run.setting.trainer for run in runs}
        trainers = [*ZERO_SHOT, *METHODS, *(f"{method}_KDPL" for method in METHODS)]
        check_known(args.baseline, {*trainers, *recorded}, "trainer", "--baseline")
    results = results_of(runs)
    tables = all_tables(results, args.baseline, args.ece)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    shown = {path for table in tables for path in table.paths}
    for path in sorted({result.path for result in results} - shown):
        print(f"left out: {path}: it belongs to no protocol", file=sys.stderr)
    render, _ = FORMATS[args.format or "terminal"]
    print(render(tables), end="")
    if not args.format:
        for path in write_all(tables, args.to or args.folders[0] / "tables"):
            print(f"written: {path}")


if __name__ == "__main__":
    run_command(main)
