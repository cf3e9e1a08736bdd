"""Classify images with learned prompts.

Prints one line per image: path, probability and class. With --output or --report it writes a table or a page instead;
if interrupted, run the same command again to resume.
"""

import argparse
from pathlib import Path

from . import add_prompts, load_classifier, loading_arguments

EXAMPLE = "kdpl predict prompts.safetensors photos --output predictions.csv --report predictions.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_prompts(parser)
    add = parser.add_argument
    add("images", nargs="+", help="images, folders, tar shards, or - for paths on standard input")
    add("--top", type=int, help="classes per image (default: 1 on the console, 5 in a table)")
    add("--output", type=Path, help="table to write: .csv, .json or .parquet")
    add("--report", type=Path, metavar="HTML", help="page to write, with thumbnails, least certain first")
    add("--batch-size", type=int, default=100, help="images per forward pass (default: 100, as in evaluations)")
    add("--workers", type=int, help="number of loader processes; with --engine ray: of classifying processes")
    add("--engine", default="local", choices=("local", "ray"), help="compute on this machine, or on a Ray cluster")


def run(args: argparse.Namespace) -> None:
    import sys

    from ..inference.items import check_sources
    from ..inference.predicting import predict_rows, predict_to_files
    from ..inference.report import check_report
    from ..inference.rows import check_table

    for name in ("top", "batch_size"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {value}; it must be at least 1.")
    check_table(args.output)  # all checks before a CLIP is loaded
    check_report(args.report)
    check_sources(args.images)
    classifier = load_classifier(args)
    classifier.check_classnames()
    images = args.images
    options = {"batch_size": args.batch_size, "n_workers": args.workers}
    if args.engine == "ray":
        from ..inference.ray_engine import ray_engine

        options["engine"] = ray_engine(args.prompts, loading_arguments(args), args.workers)
    if args.output is None and args.report is None:
        for row in predict_rows(classifier, images, top=args.top or 1, **options):
            top = [f"{probability:.3f}\t{classifier.classnames[c]}" for c, probability in row.top]
            print("\t".join([row.name, *(top or ["unreadable", row.error])]), flush=True)
        return
    if args.report and "-" in images:  # thumbnails need the paths a second time
        listed = [line.rstrip("\r\n") for line in sys.stdin]
        images = [path for image in images for path in (listed if image == "-" else [image]) if path]
    n_images, n_unreadable = predict_to_files(
        classifier, images, output=args.output, report=args.report, top=args.top or 5, **options
    )
    written = " and ".join(str(path) for path in (args.output, args.report) if path)
    unreadable = f", {n_unreadable:,} of which cannot be read" if n_unreadable else ""
    print(f"{n_images:,} images{unreadable}: {written}")
