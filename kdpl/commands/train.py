"""Learn prompts from a folder of photos, without labels.

If subfolders of PHOTOS have the names of classes, these labels are used only to report accuracy. If interrupted, run
the same command again to resume.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import add_classnames, add_device, read_names, shell_line

if TYPE_CHECKING:
    from ..caching.features import FeatureCache
    from ..classifier import Classifier
    from ..distillation.training import Training

EXAMPLE = "kdpl train photos --classnames names.txt --output prompts.safetensors"
SHOWN = 3  # prompts and class names in the report
MOST_EVALUATED = 1000  # labelled images for measuring accuracy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photos", type=Path, help="folder of images")
    add_classnames(parser, "default: class-agnostic training on a vocabulary")
    add("--method", default="CoOp", help="CoOp, CoCoOp, VPT, MaPLe, PromptSRC or KgCoOp (default: CoOp)")
    add("--student", default="ViT-B/32", help="CLIP to learn prompts for, see kdpl models (default: ViT-B/32)")
    add(
        "--teacher",
        default="ViT-L/14",
        help="CLIP to learn from, prompts:FILE, or several separated by commas (default: ViT-L/14)",
    )
    add("--teacher-scale", default="student", help="the teacher's logit scale: student (default, as published) or own")
    add("--vocabulary", default="", metavar="FILE", help="names for class-agnostic training (default: Open Images)")
    add("--epochs", type=int, help="default: as published for the method")
    add("--seed", type=int, default=1)
    add_device(parser)
    add("--precision", default="fp32", help="fp32, bf16, fp16, amp or auto (default: fp32)")
    add("--workers", type=int, default=0, help="number of loader processes (default: 0)")
    add("--views", type=int, default=0, help="augmentations per image, reused across epochs; 0 (default): always new")
    add("--cache", metavar="FOLDER", help="store features of frozen towers for this and later training runs")
    add("--plan", action="store_true", help="predict time, memory and disk space from a short calibration, and stop")
    add("--output", type=Path, default=Path("prompts.safetensors"), help="prompt file (default: prompts.safetensors)")


def run(args: argparse.Namespace) -> None:
    from ..caching.features import open_cache
    from ..distill import check_needed, distill
    from ..images.files import list_images, unreadable_images
    from ..images.labelled import folder_names, labelled_images

    if args.output.suffix != ".safetensors":
        raise ValueError(f"--output is {args.output}; the name of a prompt file ends in .safetensors.")
    if args.plan:
        print(_forecast(args))
        return
    classnames = read_names(args.classnames)
    photos = list_images(args.photos)
    check_needed(args.student, args.teacher, args.teacher_scale, args.vocabulary if classnames is None else [])
    unreadable = unreadable_images(photos, whole=True)
    readable = [photo for photo in photos if str(photo) not in unreadable]
    _report_photos(args.photos, readable, unreadable)
    if not readable:
        raise ValueError(f"None of the {len(photos)} images in {args.photos} can be read.")
    # Even without class names, folders may give labels for measuring accuracy; training never sees them.
    labels = list(labelled_images(readable, args.photos, classnames or folder_names(readable, args.photos)))
    classifier = distill(
        readable if unreadable else args.photos, classnames,
        method=args.method, student=args.student, teacher=args.teacher, teacher_scale=args.teacher_scale,
        vocabulary=args.vocabulary, epochs=args.epochs, seed=args.seed, device=args.device, precision=args.precision,
        n_workers=args.workers, views=args.views, cache=args.cache, output=args.output,
        before_training=lambda training: _report_training(
            training, readable, labels if classnames else [], open_cache(args.cache), args.photos
        ),
    )  # fmt: skip
    names = classnames or folder_names(readable, args.photos)
    if labels:
        _report_accuracy(classifier.with_classnames(names) if classnames is None else classifier, labels)
    print(f"Prompts are in {args.output}. Next steps:")
    for line in _next_commands(args, names):
        print(f"  {line}")


def _report_photos(folder: Path, readable: Sequence[Path], unreadable: dict[str, str]) -> None:
    print(f"Photos: {len(readable):,} in {folder}")
    if unreadable:
        listed = "".join(f"\n  {path}: {reason}" for path, reason in list(unreadable.items())[:SHOWN])
        more = f"\n  and {len(unreadable) - SHOWN:,} more" if len(unreadable) > SHOWN else ""
        print(f"Skipped unreadable files: {len(unreadable):,}{listed}{more}")


def _report_training(
    training: "Training",
    photos: Sequence[Path],
    labelled: Sequence[tuple[Any, int]],
    cache: "FeatureCache | None",
    folder: Path,
) -> None:
    """Print what is going to be learned, and whether the teacher is better than the student."""
    from ..clip.templates import fill
    from ..clip.zero_shot import ZeroShotClassifier
    from ..distillation.agreement import look_at_agreement
    from ..images.transforms import evaluation_transform

    model, teacher = training.model, training.objective.teacher
    names = model.classnames
    print(f"Classes: {len(names):,}, {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}")
    words = fill(f"{model.prompt_learner.words} {{}}.", names[:SHOWN])
    print(f"Initial prompts: {' | '.join(words)}")
    student = ZeroShotClassifier(model.clip, names, device=model.device, precision=model.precision)
    transform = evaluation_transform(model.clip.preprocessing)
    labels = dict(labelled)
    images = [(photo, labels.get(photo, -1)) for photo in photos]
    look_at_agreement(teacher, student, transform, images, (), bool(labels), training.n_views, cache, folder)


def _report_accuracy(classifier: "Classifier", labelled: Sequence[tuple[Any, int]]) -> None:
    """Print the accuracy with the learned prompts on a sample of the labelled photos."""
    import random

    sample = random.Random(0).sample(labelled, min(MOST_EVALUATED, len(labelled)))
    predicted = classifier.logits([path for path, _ in sample]).argmax(dim=-1).tolist()
    correct = sum(label == guess for (_, label), guess in zip(sample, predicted, strict=True))
    print(
        f"Accuracy with the learned prompts: {100 * correct / len(sample):.1f}% of {len(sample):,} labelled photos "
        "(training photos, but their labels were not used)"
    )


def _next_commands(args: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Commands that can be pasted into a shell in this folder."""
    prompts, photos = str(args.output), str(args.photos)
    # Prompts from class-agnostic training have no class names yet.
    naming = [] if args.classnames else ["--classnames", ",".join(names) if len(names) > 1 else "cat,dog"]
    folder = args.output.parent
    return [
        shell_line("predict", prompts, photos, *naming, "--report", str(folder / "predictions.html")),
        shell_line("words", prompts, *naming),
        shell_line("export", prompts, str(folder / "classifier.onnx"), *naming),
    ]


def _forecast(args: argparse.Namespace) -> str:
    """Predicted costs of this training run, as a table."""
    from ..clip.device import resolve_device
    from ..distillation.vocabulary import load_vocabulary
    from ..images.files import list_images
    from ..images.seeded_loader import n_views
    from ..methods import find_method
    from ..planning import Planner, Workload, in_words

    method, names = find_method(args.method), read_names(args.classnames)
    epochs, n_images = args.epochs or method.epochs, len(list_images(args.photos))
    work = Workload(
        method.name, tuple(method.complete({}).items()), args.student, args.teacher,
        len(names) if names else min(1000, len(load_vocabulary(args.vocabulary))), method.batch_size,
        n_images, 0, epochs, n_views(args.views, epochs), args.precision, args.precision,
        args.workers, cache_bytes=4 if args.cache else 0,
    )  # fmt: skip
    return in_words([(f"{method.name} on {n_images} photos", Planner(resolve_device(args.device)).forecast(work))])
