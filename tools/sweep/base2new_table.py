"""Base, new and harmonic mean of an experiment's rows, each a pair of finished evaluations."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tabulate import tabulate

from kdpl.clip.loading import DEMO_WEIGHTS
from kdpl.run_record import FILE_NAME, RunRecord, finished_record
from tools.tables.seed_statistics import harmonic_mean

HALVES = ("base", "new")


def table(rows: Sequence[tuple[str, str, str]]) -> str:
    """The table and what it is of, as text.

    Args:
        rows: title, folder of the evaluation on the base classes, folder of that on the new ones.

    Raises:
        FileNotFoundError: if a folder holds no finished evaluation.
        ValueError: if records are not of the same images and classes, or those of a row not of the same model.
    """
    records = {title: [_record(*half) for half in zip(folders, HALVES, strict=True)] for title, *folders in rows}
    first = next(iter(records.values()))
    for title, pair in records.items():
        _check_equal(title, _of_a_row, *pair)
        for ours, others in zip(pair, first, strict=True):
            _check_equal(title, _of_a_column, ours, others)
    text = tabulate(
        [(title, *accuracies(*pair)) for title, pair in records.items()],
        headers=("accuracy in %", *HALVES, "harmonic mean"),
        floatfmt=".1f",
    )
    base, new = (f"{record.evaluations[-1].total:,} {{}}{len(record.evaluations[-1].per_class)}" for record in first)
    dataset = first[0].dataset
    text += f"\n\n{dataset}: {base.format('test images of ')} base classes, {new.format('of ')} new ones"
    if first[0].backbone in DEMO_WEIGHTS and not dataset.startswith("Shapes"):
        text += "\nThese are numbers of the demo pair, which knows drawn shapes only: they say nothing about CLIP."
    return text


def accuracies(base: RunRecord, new: RunRecord) -> tuple[float, float, float]:
    """Percent, from exact counts: base, new, and their harmonic mean, which is 0 if one of them is."""
    a, b = (record.evaluations[-1].accuracy for record in (base, new))
    return a, b, harmonic_mean([a, b])


def _record(folder: str, half: str) -> RunRecord:
    file = Path(folder) / FILE_NAME
    record = finished_record(file)
    if record is None or not record.evaluations:
        raise FileNotFoundError(f"There is no finished evaluation in {file}. Run it first.")
    if record.subsample != half:
        raise ValueError(f"{file} is of the {record.subsample} classes, not of the {half} ones.")
    return record


def _of_a_row(record: RunRecord) -> dict[str, object]:
    """What the two halves of a row share."""
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
