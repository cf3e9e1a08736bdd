"""Time training steps and everything around them, alternating with a plain implementation in the same process.

    python -m tools.benchmark --quick                     # under three minutes on two idle cores
    python -m tools.benchmark --json performance.json     # everything
    python -m tools.benchmark --render performance.json > docs/performance.md

The plain implementation follows the papers literally: every prompt passes through CLIP's own text tower with all 77
positions. Weights are random, since times do not depend on them. Loss and gradient are compared as well.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kdpl.atomic_files import write_json_atomically
from kdpl.guard import run_command
from kdpl.measuring.random_clips import ARCHITECTURES
from kdpl.outside import read_json

from .page import page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, or render the results of an earlier run; returns the exit code."""
    args = parse(arguments)
    print(page(read_measures(args.render) if args.render else measure(args)), end="")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer steps, methods and classes")
    add("--device", default="auto", help="auto, cuda, mps or cpu (default: auto)")
    add(
        "--json",
        type=Path,
        metavar="FILE",
        help="save results here; those already in it are reused if made with the same settings",
    )
    add("--only", default="", metavar="TEXT", help="run only the measurements whose heading contains this")
    add("--render", type=Path, metavar="FILE", help="print the page for a file written by --json; nothing is measured")
    add("--student", default="ViT-B/32", choices=ARCHITECTURES)
    add("--teacher", default="ViT-L/14", choices=ARCHITECTURES)
    add("--classes", type=int, default=50, help="number of classes (default: 50)")
    add("--batch", type=int, default=4, help="batch size (default: 4)")
    add("--steps", type=int, default=5, help="timed repetitions (default: 5; always 1 with --quick)")
    add(
        "--max-tokens",
        type=int,
        default=2048,
        help="text tokens per pass when the number of classes varies (default: 2048)",
    )
    add(
        "--processor-time",
        action="store_true",
        help="on a CPU, measure CPU time instead of elapsed time: for shared machines",
    )
    args = parser.parse_args(arguments)
    for name in ("classes", "batch", "steps", "max_tokens"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)}; it must be at least 1")
    return args


def measure(args: argparse.Namespace) -> dict:
    """Run the measurements; saved after each one, so that an interrupted run can be continued.

    Returns:
        The content of a file written by ``--json``: settings, versions, and rows by heading.
    """
    from kdpl.clip.device import device_name, resolve_device
    from kdpl.versions import versions

    from .measures import MEASURES
    from .setting import Setting

    device = resolve_device(args.device)
    steps = 1 if args.quick else args.steps
    clock = time.process_time if args.processor_time and device.type == "cpu" else time.perf_counter
    setting = Setting(
        device, args.student, args.teacher, args.classes, args.batch, steps, args.max_tokens, args.quick, clock
    )
    content = {
        "device": device_name(device), "student": args.student, "teacher": args.teacher, "classes": args.classes,
        "batch": args.batch, "steps": steps, "max_tokens": args.max_tokens, "quick": args.quick,
        "clock": clock.__name__, "versions": versions(),
    }  # fmt: skip
    earlier = read_measures(args.json) if args.json and args.json.exists() else {}
    earlier_rows = earlier.pop("measures", {})
    found = earlier_rows if earlier == content else {}
    for heading, function in MEASURES.items():
        if heading in found or args.only.lower() not in heading.lower():
            continue
        print(heading, file=sys.stderr, flush=True)
        found[heading] = function(setting)
        found = {heading: found[heading] for heading in MEASURES if heading in found}  # in the order of MEASURES
        if args.json:
            write_json_atomically(args.json, content | {"measures": found})
    return content | {"measures": found}


def read_measures(file: Path) -> dict:
    """Read a file written by ``--json``.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it is not such a file.
    """
    content = read_json(file, "benchmark file")
    if not isinstance(content, dict) or not {"device", "student", "teacher", "steps", "measures"} <= content.keys():
        raise ValueError(f"{file} is not a benchmark file; python -m tools.benchmark --json FILE writes one.")
    return content


if __name__ == "__main__":
    run_command(main)
