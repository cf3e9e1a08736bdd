"""Time training steps and all around them, the plain computation in turn with ours, in one process.

    python -m tools.benchmark --quick                     # under three minutes on two idle cores
    python -m tools.benchmark --json performance.json     # everything
    python -m tools.benchmark --render performance.json > docs/performance.md

The plain step is the one that papers describe: every prompt goes through CLIP's own text tower over all 77 positions.
Weights are random, since time does not depend on them; both steps must give the same loss and the same gradient.
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
    """Measure, or render what was measured."""
    args = parse(arguments)
    if args.render:
        print(page(read_measures(args.render)), end="")
        return 0
    print(page(measure(args)), end="")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer steps, methods and classes")
    add("--device", default="auto", help="auto, cuda, mps or cpu (default: auto)")
    add("--json", type=Path, metavar="FILE", help="write what was measured; what it has of the same setting stays")
    add("--only", default="", metavar="TEXT", help="the measures whose heading has this in it")
    add("--render", type=Path, metavar="FILE", help="print the page of such a file, and measure nothing")
    add("--student", default="ViT-B/32", choices=ARCHITECTURES)
    add("--teacher", default="ViT-L/14", choices=ARCHITECTURES)
    add("--classes", type=int, default=50)
    add("--batch", type=int, default=4, help="images")
    add("--steps", type=int, default=5, help="timed steps of each kind (default: 5; with --quick 1)")
    add("--max-tokens", type=int, default=2048, help="of texts at once, for numbers of classes (default: 2048)")
    add(
        "--processor-time", action="store_true", help="of a CPU, instead of elapsed time: for a machine that others use"
    )
    args = parser.parse_args(arguments)
    for name in ("classes", "batch", "steps", "max_tokens"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)}; it must be at least 1")
    return args


def measure(args: argparse.Namespace) -> dict:
    """Everything measured, as plain values; written after each measure, so that an interrupted run can continue."""
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
    before = read_measures(args.json) if args.json and args.json.exists() else {}
    known = before.pop("measures", {})
    found = known if before == content else {}
    for heading, function in MEASURES.items():
        if heading in found or args.only.lower() not in heading.lower():
            continue
        print(heading, file=sys.stderr, flush=True)
        found[heading] = function(setting)
        found = {heading: found[heading] for heading in MEASURES if heading in found}  # in this order
        if args.json:
            write_json_atomically(args.json, content | {"measures": found})
    return content | {"measures": found}


def read_measures(file: Path) -> dict:
    """What an earlier run measured.

    Raises:
        FileNotFoundError, ValueError: if there is no such file, or it is another one.
    """
    content = read_json(file, "file of measures")
    if not isinstance(content, dict) or not {"device", "student", "teacher", "steps", "measures"} <= content.keys():
        raise ValueError(f"{file} is no file of measures; python -m tools.benchmark --json FILE writes one.")
    return content


if __name__ == "__main__":
    run_command(main)
