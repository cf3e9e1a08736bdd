"""Base, new and harmonic mean of an experiment's rows, each a pair of finished evaluations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from kdpl.clip.loading import DEMO_WEIGHTS
from trainers.kdpl.finished import read_record
from trainers.kdpl.run_record import FILE_NAME

HALVES = ("base", "new")
OF_A_ROW = ("trainer", "backbone", "seed", "shots", "weights_sha256", "prompts_sha256")  # its two halves share them
OF_A_COLUMN = ("dataset", "split_sha256", "images of each class")
Record = dict[str, Any]


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
        _check_equal(title, OF_A_ROW, *pair)
        for ours, others in zip(pair, first, strict=True):
            _check_equal(title, OF_A_COLUMN, ours, others)
    text = tabulate(
        [(title, *accuracies(*pair)) for title, pair in records.items()],
        headers=("accuracy in %", *HALVES, "harmonic mean"),
        floatfmt=".1f",
    )
    base, new = (f"{record['total']:,} {{}}{len(record['images of each class'])}" for record in first)
    dataset = first[0]["dataset"]
    text += f"\n\n{dataset}: {base.format('test images of ')} base classes, {new.format('of ')} new ones"
    if first[0]["backbone"] in DEMO_WEIGHTS and not dataset.startswith("Shapes"):
        text += "\nThese are numbers of the demo pair, which knows drawn shapes only: they say nothing about CLIP."
    return text


def accuracies(base: Mapping[str, int], new: Mapping[str, int]) -> tuple[float, float, float]:
    """Percent, from exact counts: base, new, and their harmonic mean, which is 0 if one of them is."""
    a, b = (100 * half["correct"] / half["total"] for half in (base, new))
    return a, b, 2 * a * b / (a + b) if a and b else 0.0


def _record(folder: str, half: str) -> Record:
    """A record with the counts of its evaluation."""
    file = Path(folder) / FILE_NAME
    record = read_record(file)
    if record is None or not record["evaluations"]:
        raise FileNotFoundError(f"There is no finished evaluation in {file}. Run it first.")
    if record["subsample"] != half:
        raise ValueError(f"{file} is of the {record['subsample']} classes, not of the {half} ones.")
    result = record["evaluations"][-1]
    per_class = [(row["classname"], row["total"]) for row in result["per_class"]]
    return record | {"correct": result["correct"], "total": result["total"], "images of each class": per_class}


def _check_equal(title: str, keys: Sequence[str], ours: Record, others: Record) -> None:
    for key in keys:
        if ours[key] != others[key]:
            raise ValueError(
                f"The {key} of {title!r}, {ours['subsample']} classes, are {ours[key]}, and those of "
                f"{others['trainer']}, {others['subsample']} classes, {others[key]}: they do not belong in one table."
            )
