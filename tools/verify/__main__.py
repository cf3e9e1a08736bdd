"""Check in four levels that this clone computes what was published; writes verification.json.

    python -m tools.verify                                  # level 0, and 1 and 2 if their files are on this machine
    python -m tools.verify --level 1 --models ViT-B/32 ViT-L/14 --fetch
    python -m tools.verify --level 2 --models ViT-B/32 --root data
    python -m tools.verify --level 3 --cells 2 --root data

Level 0 compares with golden numbers of the published implementation, level 1 checks the weights and outputs of CLIPs,
level 2 compares zero-shot accuracies with published ones, and level 3 runs cells of the paper's tables, cheapest first
(see `python -m tools.reproduce --list`).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kdpl.atomic_files import check_place
from kdpl.clip.device import device_name, resolve_device
from kdpl.clip.openai import OPENAI_WEIGHTS, openai_cache
from kdpl.commands import add_device
from kdpl.commands.verify import add_level_arguments, finish, run_levels
from kdpl.guard import guarded, run_command
from kdpl.ranges import whole
from kdpl.verification.checks import Report, line_of
from tools.sweep.__main__ import add_where_and_how, check_numbers
from tools.sweep.local_engine import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command described above; the exit code is 1 if a check failed."""
    args = parse(arguments)
    return guarded(lambda: verify(args), "Run the same command again to continue.")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--level",
        type=int,
        choices=range(4),
        nargs="+",
        help="levels to run (default: 0 to 2, as far as their files are on this machine)",
    )
    add_level_arguments(parser)
    add("--cells", type=int, default=1, help="level 3: how many cells to run (default: 1)")
    add("--student", default="", help="level 3: only cells with this student")
    add("--report", type=Path, default=Path("verification.json"), help="report to write (default: verification.json)")
    add_device(parser)
    add_where_and_how(parser)
    return parser.parse_args(arguments)


def verify(args: argparse.Namespace) -> int:
    """Run the levels; those not asked for run only if this machine has the files."""
    root, output, report_file = (
        Path(args.root).absolute(),
        Path(args.output or "output").absolute(),
        args.report.absolute(),
    )
    check_numbers(args)
    whole(1).check("--cells", args.cells)
    check_place(report_file)
    pictures = args.pictures and args.pictures.absolute()
    os.chdir(ROOT)  # configurations contain paths relative to it
    args.pictures = pictures
    device = resolve_device(args.device)
    report = Report(device_name(device), lambda check: print(line_of(check), flush=True))
    present = [name for name, (_, weights) in OPENAI_WEIGHTS.items() if (openai_cache() / weights).is_file()]
    args.models = args.models or [name for name in ("ViT-B/32", "ViT-L/14") if name in present]
    levels = args.level or ([0, 1, 2] if args.models else [0, 1])
    run_levels(args, report, device, levels)
    if 2 in levels:
        from .zero_shot import run_level_2

        run_level_2(report, device, args.models or ["ViT-B/32"], root, args.precision)
    if 3 in levels:
        from .cells import run_level_3

        run_level_3(report, args, root, output)
    return finish(report, report_file)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    run_command(main)
