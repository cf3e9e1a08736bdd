"""Measure accuracy on a folder of labelled images: one subfolder per class.

Writes to --output: evaluation.json, per_class.csv, predictions.csv (one row per image), confusion.png, reliability.png
and index.html, a page with all results.
"""

import argparse
from pathlib import Path

from . import add_prompts, load_classifier

EXAMPLE = "kdpl evaluate prompts.safetensors labelled_photos --output evaluation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_prompts(parser)
    add = parser.add_argument
    add("folder", type=Path, help="folder with one subfolder of images per class")
    add("--output", type=Path, default=Path("evaluation"), help="output folder (default: evaluation)")
    add("--batch-size", type=int, default=100, help="images per forward pass (default: 100)")
    add("--workers", type=int, help="number of loader processes")


def run(args: argparse.Namespace) -> None:
    from ..atomic_files import check_place
    from ..extras import need
    from ..images.files import list_images
    from ..images.labelled import check_labels, folder_names
    from ..inference.evaluating import evaluate_folder
    from ..inference.evaluation_page import write_evaluation

    need("matplotlib", "reports", "kdpl evaluate")
    images = list_images(args.folder)
    check_place(args.output / "evaluation.json")
    classifier = load_classifier(args)
    if not classifier.classnames:  # class-agnostic prompts: the folders define the classes
        classifier = classifier.with_classnames(folder_names(images, args.folder))
    check_labels(images, args.folder, classifier.classnames)
    evaluation = evaluate_folder(classifier, images, args.folder, args.batch_size, args.workers)
    write_evaluation(args.output, evaluation, classifier, args.folder)
    result = evaluation.result
    low, high = evaluation.interval
    print(f"Accuracy: {result['accuracy']:.2f}% ({result['correct']:,} of {result['total']:,})")
    print(f"95% interval: {low:.2f}% to {high:.2f}% (Wilson)")
    print(f"Calibration error: {result['ece']:.2f}%, macro F1: {result['macro_f1']:.2f}%")
    if evaluation.unreadable:
        print(f"Skipped unreadable images: {len(evaluation.unreadable):,}, such as {evaluation.unreadable[0]}")
    print(f"Page: {args.output / 'index.html'}")
