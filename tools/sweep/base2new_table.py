"""The rows of an experiment, each with finished evaluations on base classes, new ones, and all of them together."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tabulate import tabulate

from kdpl.clip.loading import DEMO_WEIGHTS
from kdpl.run_record import FILE_NAME, RunRecord, finished_record
from tools.tables.seed_statistics import harmonic_mean

CLASSES = ("base", "new", "all")


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """The table and what it is of, as text.

    Args:
        rows: title, and the folders of the evaluations on the base classes, on the new ones and, except for
            class-specific prompts, on all classes.

    Raises:
        FileNotFoundError: if a folder holds no finished evaluation.
        ValueError: if records are not of the same images and classes, or those of a row not of the same model.
    """
    records = {title: [_record(*one) for one in zip(folders, CLASSES, strict=False)] for title, *folders in rows}
    first = next(iter(records.values()))
    for title, of_row in records.items():
        for ours, others in zip(of_row, first, strict=False):
            _check_equal(title, _of_a_row, of_row[0], ours)
            _check_equal(title, _of_a_column, ours, others)
    text = tabulate(
        [(title, *accuracies(*of_row)) for title, of_row in records.items()],
        headers=("accuracy in %", "base", "new", "harmonic mean", "all classes"),
        floatfmt=".1f",
        missingval="-",
    )
    base, new, *_ = (
        f"{record.evaluations[-1].total:,} {{}}{len(record.evaluations[-1].per_class)}" for record in first
    )
    dataset = first[0].dataset
    text += f"\n\n{dataset}: {base.format('test images of ')} base classes, {new.format('of ')} new ones"
    text += "\nAll classes: the images of both halves together, each classified among the names of both."
    if first[0].backbone in DEMO_WEIGHTS and not dataset.startswith("Shapes"):
        text += "\nThese are numbers of the demo pair, which knows drawn shapes only: they say nothing about CLIP."
    return text


def accuracies(base: RunRecord, new: RunRecord, together: RunRecord | None = None) -> tuple[float | None, ...]:
    """Percent, from exact counts: base, new, their harmonic mean, which is 0 if one of them is, and all classes."""
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


def _of_a_row(record: RunRecord) -> dict[str, object]:
    """What the records of a row share."""
    keys = ("trainer", "backbone", "seed", "shots", "weights_sha256", "prompts_sha256")
    return {key: getattr(record, key) for key in keys}


def _of_a_column(record: RunRecord) -> dict[str, object]:
    """What the records of a column share."""
    images = [(row["classname"], row["total"]) for row in record.evaluations[-1].per_class]
    return {"dataset": record.dataset, "split_sha256": record.split_sha256, "images of each class": images}


def _check_equal(title: str, facts_of: Callable[[RunRecord], dict], ours: RunRecord, others: RunRecord) -> None:
    theirs = facts_of(others)
    for key, value in facts_of(ours).items():
        if value != theirs[key]:
            raise ValueError(
                f"The {key} of {title!r}, {ours.subsample} classes, are {value}, and those of "
                f"{others.trainer}, {others.subsample} classes, {theirs[key]}: they do not belong in one table."
            )
