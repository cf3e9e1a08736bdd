"""The table that a base-to-new experiment prints: accuracy on base, new and all classes."""

from collections.abc import Sequence
from pathlib import Path
from statistics import harmonic_mean

from tabulate import tabulate

from kdpl.clip.loading import DEMO_WEIGHTS
from kdpl.run_record import FILE_NAME, RunRecord, finished_record

CLASSES = ("base", "new", "all")
SAME_MODEL = ("trainer", "backbone", "seed", "shots", "weights_sha256", "prompts_sha256")
SAME_IMAGES = ("dataset", "split_sha256", "images_of_each_class")


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Format the table, followed by a line with the numbers of test images.

    Args:
        rows: for each row, a title and the folders of its evaluations on base classes, on new classes and, except for
            class-specific prompts, on all classes.

    Raises:
        FileNotFoundError: if a folder holds no finished evaluation.
        ValueError: if the records of a column cover different images, or those of a row different models.
    """
    records = {title: [_record(*one) for one in zip(folders, CLASSES, strict=False)] for title, *folders in rows}
    first = next(iter(records.values()))
    for title, of_row in records.items():
        for record, above in zip(of_row, first, strict=False):
            for fact, other in [(fact, of_row[0]) for fact in SAME_MODEL] + [(fact, above) for fact in SAME_IMAGES]:
                ours, theirs = _fact(record, fact), _fact(other, fact)
                if ours != theirs:
                    raise ValueError(
                        f"{fact} of {title!r} on {record.subsample} classes is {ours}, but {theirs} for "
                        f"{other.trainer} on {other.subsample} classes: they do not belong in one table."
                    )
    text = tabulate(
        [(title, *accuracies(*of_row)) for title, of_row in records.items()],
        headers=("accuracy in %", "base", "new", "harmonic mean", "all classes"),
        floatfmt=".1f",
        missingval="-",
    )
    dataset, (base, new, *_) = first[0].dataset, (record.evaluations[-1] for record in first)
    text += f"\n\n{dataset}: {base.total:,} test images of {len(base.per_class)} base classes, "
    text += f"{new.total:,} of {len(new.per_class)} new ones"
    text += "\nAll classes: the images of both halves together, each classified among the names of both."
    if first[0].backbone in DEMO_WEIGHTS and not dataset.startswith("Shapes"):
        text += "\nThese are numbers of the demo pair, which knows only drawn shapes: they say nothing about CLIP."
    return text


def accuracies(base: RunRecord, new: RunRecord, together: RunRecord | None = None) -> tuple[float | None, ...]:
    """Percentages from exact counts: base, new, their harmonic mean, and all classes if they were tested."""
    a, b = (record.evaluations[-1].accuracy for record in (base, new))
    return a, b, harmonic_mean([a, b]), together and together.evaluations[-1].accuracy


def _record(folder: str, classes: str) -> RunRecord:
    file = Path(folder) / FILE_NAME
    record = finished_record(file)
    if record is None or not record.evaluations:
        raise FileNotFoundError(f"There is no finished evaluation in {file}. Run it first.")
    if record.subsample != classes:
        raise ValueError(f"{file} is of the {record.subsample} classes, not of the {classes} ones.")
    return record


def _fact(record: RunRecord, name: str) -> object:
    if name == "images_of_each_class":
        return [(row["classname"], row["total"]) for row in record.evaluations[-1].per_class]
    return getattr(record, name)
