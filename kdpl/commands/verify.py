"""Check that this installation gives the published results.

Level 0 needs only this package: it compares tokens, towers, pixels, losses, gradients and prompts with golden numbers
from the published implementation. Level 1 checks the weights of CLIPs: whether they are loaded unchanged, whether
their text features are meaningful, and whether they give published outputs. In a clone, `python -m tools.verify` adds
level 2 (published zero-shot accuracies) and level 3 (cells of the paper's tables).
"""

import argparse
from pathlib import Path

from . import add_device

EXAMPLE = "kdpl verify --level 1 --models ViT-B/32 ViT-L/14 --fetch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--level", type=int, choices=(0, 1), help="run only this level (default: 0, and 1 if --models is given)")
    add_level_arguments(parser)
    add(
        "--output",
        type=Path,
        default=Path("verification.json"),
        help="report to write, with a page beside it (default: %(default)s)",
    )
    add_device(parser)


def add_level_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of levels 0 and 1."""
    add = parser.add_argument
    add(
        "--models",
        nargs="+",
        default=[],
        metavar="CLIP",
        help="CLIPs to check at level 1: student and teacher, such as ViT-B/32 ViT-L/14",
    )
    add("--pictures", type=Path, metavar="FOLDER", help="folder with CLIP.png and 000000039769.jpg")
    add("--fetch", action="store_true", help="download these two pictures (425 kB) if they are missing")
    add("--precision", default="fp32", help="precision of level 1: fp32, bf16, fp16 or amp (default: fp32)")
    add("--compiled", action="store_true", help="also check the golden numbers with compiled steps (takes minutes)")


def run(args: argparse.Namespace) -> int:
    from ..atomic_files import check_place
    from ..clip.device import device_name, resolve_device
    from ..verification.checks import Report, line_of

    check_place(args.output)
    device = resolve_device(args.device)
    report = Report(device_name(device), lambda check: print(line_of(check), flush=True))
    run_levels(args, report, device, [args.level] if args.level is not None else [0] + [1] * bool(args.models))
    return finish(report, args.output)


def run_levels(args: argparse.Namespace, report, device, levels: list[int]) -> None:
    """Run level 0, level 1, or both."""
    if args.pictures and not args.pictures.is_dir():
        raise FileNotFoundError(f"There is no folder {args.pictures}. --pictures takes a folder with CLIP.png.")
    from ..verification.level0 import run_level_0
    from ..verification.level1 import run_level_1

    if 0 in levels:
        run_level_0(report, device, args.compiled)
    if 1 in levels:
        models = args.models or ["demo:student", "demo:teacher"]
        run_level_1(report, device, models, args.precision, args.pictures, args.fetch)


def finish(report, path: Path) -> int:
    """Write the report as JSON and as a page, and print the verdicts; returns 1 if a level failed, else 0."""
    from ..atomic_files import atomic_path
    from ..verification.page import page

    report.write(path)
    html = path.with_suffix(".html")
    with atomic_path(html) as temporary:
        temporary.write_text(page(report.as_dict()), encoding="utf-8")
    print("\n" + "\n".join(f"level {level}: {report.verdict(level)}" for level in report.levels))
    print(f"Report: {path}, as a page: {html}")
    return int(report.verdict() == "fail")
