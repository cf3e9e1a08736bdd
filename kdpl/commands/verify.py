"""Check that this installation computes what was published.

Level 0 needs nothing but this package: it compares tokens, towers, pixels, losses, gradients and prompts with golden
numbers of the published implementation. Level 1 looks at the weights of CLIPs: whether they are loaded as they are,
whether their texts mean something, and whether they give published outputs. In a clone, `python -m tools.verify` also
knows levels 2 (published zero-shot accuracies) and 3 (cells of the paper's tables).
"""

import argparse
from pathlib import Path

from . import add_device

EXAMPLE = "kdpl verify --level 1 --models ViT-B/32 ViT-L/14 --fetch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--level", type=int, choices=(0, 1), help="one level only (default: 0, and 1 for the models that are named)")
    add_level_arguments(parser)
    add(
        "--output",
        type=Path,
        default=Path("verification.json"),
        help="report to write; a page goes beside it (default: %(default)s)",
    )
    add_device(parser)


def add_level_arguments(parser: argparse.ArgumentParser) -> None:
    """What levels 0 and 1 read."""
    add = parser.add_argument
    add("--models", nargs="+", default=[], metavar="CLIP", help="student and teacher of level 1, such as ViT-B/32")
    add("--pictures", type=Path, metavar="FOLDER", help="a folder with CLIP.png and 000000039769.jpg")
    add("--fetch", action="store_true", help="fetch these two pictures (425 kB) if they are missing")
    add("--precision", default="fp32", help="of level 1: fp32, bf16, fp16 or amp (default: fp32)")
    add("--compiled", action="store_true", help="run the golden numbers with compiled steps as well (minutes)")


def run(args: argparse.Namespace) -> int:
    from ..clip.device import device_name, resolve_device
    from ..verification.checks import Report, line_of

    device = resolve_device(args.device)
    report = Report(device_name(device), lambda check: print(line_of(check), flush=True))
    run_levels(args, report, device, [args.level] if args.level is not None else [0] + [1] * bool(args.models))
    return finish(report, args.output)


def run_levels(args: argparse.Namespace, report, device, levels: list[int]) -> None:
    """Levels 0 and 1, as far as they are asked for."""
    from ..verification.level0 import run_level_0
    from ..verification.level1 import run_level_1

    if 0 in levels:
        run_level_0(report, device, args.compiled)
    if 1 in levels:
        models = args.models or ["demo:student", "demo:teacher"]
        run_level_1(report, device, models, args.precision, args.pictures, args.fetch)


def finish(report, path: Path) -> int:
    """Write the report as JSON and as a page, and print the verdicts; the exit code is 1 if a level failed."""
    from ..atomic_files import atomic_path
    from ..verification.page import page

    report.write(path)
    html = path.with_suffix(".html")
    with atomic_path(html) as temporary:
        temporary.write_text(page(report.as_dict()), encoding="utf-8")
    print("\n" + "\n".join(f"level {level}: {report.verdict(level)}" for level in report.levels))
    print(f"Report: {path}, and to read it: {html}")
    return int(report.verdict() == "fail")
