"""Base, new and harmonic mean of finished evaluations, a row for every pair of output folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from kdpl.clip.loading import DEMO_WEIGHTS
from trainers.kdpl.finished import read_record
from trainers.kdpl.run_record import FILE_NAME

HALVES = ("base", "new")
Record = dict[str, Any]


def table(rows: Sequence[tuple[str, str, str]]) -> str:
    """The table and what it is of, as text.

    Args:
        rows: title, folder of the evaluation on the base classes, folder of that on the new ones.

    Raises:
        FileNotFoundError: if a folder holds no finished evaluation.
        ValueError: if records are not of the same images and classes, or those of a row not of the same model.
    """
    records = {title: _pair(*folders) for title, *folders in rows}
    first_title, first = next(iter(records.items()))
    for title, (base, new) in records.items():
        _check_equal(f"{title}, base", _model(base), f"{title}, new", _model(new))
        for half, ours, others in zip(HALVES, (base, new), first, strict=True):
            _check_equal(f"{title}, {half}", _images(ours), f"{first_title}, {half}", _images(others))
    text = tabulate(
        [(title, *accuracies(*pair)) for title, pair in records.items()],
        headers=("accuracy in %", *HALVES, "harmonic mean"),
        floatfmt=".1f",
    )
    base, new = (_result(record) for record in first)
    dataset = first[0]["dataset"]
    text += (
        f"\n\n{dataset}: {base['total']:,} test images of {len(base['per_class'])} base classes, "
        f"{new['total']:,} of {len(new['per_class'])} new ones"
    )
    if first[0]["backbone"] in DEMO_WEIGHTS and not dataset.startswith("Shapes"):
        text += "\nThese are numbers of the demo pair, which knows drawn shapes only: they say nothing about CLIP."
    return text


def accuracies(base: Record, new: Record) -> tuple[float, float, float]:
    """Percent, from exact counts: base, new, and their harmonic mean, which is 0 if one of them is."""
    a, b = (100 * _result(record)["correct"] / _result(record)["total"] for record in (base, new))
    return a, b, 2 * a * b / (a + b) if a and b else 0.0


def _pair(*folders: str) -> tuple[Record, Record]:
    """The records of base and new."""
    records = []
    for folder, half in zip(folders, HALVES, strict=True):
        file = Path(folder) / FILE_NAME
        record = read_record(file)
        if record is None or not record["evaluations"]:
            raise FileNotFoundError(f"There is no finished evaluation in {file}. Run it first.")
        if record["subsample"] != half:
            raise ValueError(f"{file} is of the {record['subsample']} classes, not of the {half} ones.")
        records.append(record)
    return tuple(records)


def _result(record: Record) -> dict[str, Any]:
    return record["evaluations"][-1]


def _model(record: Record) -> dict[str, object]:
    """What the two halves of a row must share."""
    student = record["weights_sha256"]["student"]
    return {
        **{key: record[key] for key in ("trainer", "backbone", "seed", "shots")},
        "weights": student,
        "prompts": record["prompts_sha256"],
    }


def _images(record: Record) -> dict[str, object]:
    """What one column must share."""
    images_of_classes = [(row["classname"], row["total"]) for row in _result(record)["per_class"]]
    return {key: record[key] for key in ("dataset", "split_sha256")} | {"images of each class": images_of_classes}


def _check_equal(title: str, ours: dict[str, object], other_title: str, others: dict[str, object]) -> None:
    for key, value in ours.items():
        if value != others[key]:
            raise ValueError(
                f"{title!r} and {other_title!r} do not belong into one table: the {key} of the first are {value}, "
                f"those of the second {others[key]}."
            )
