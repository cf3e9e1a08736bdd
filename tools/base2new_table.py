"""Base, new and harmonic mean of finished evaluations, a row for every pair of output folders.

    python -m tools.base2new_table --row "zero-shot student" FOLDER_OF_BASE FOLDER_OF_NEW --row ...
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from kdpl.clip.loading import DEMO_WEIGHTS
from kdpl.run_record import FILE_NAME, Evaluation, RunRecord, finished_record

HALVES = ("base", "new")


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module; 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", nargs=3, action="append", required=True, metavar=("TITLE", "BASE", "NEW"))
    try:
        print(table(parser.parse_args(arguments).row))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


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
    dataset = first[0].dataset
    text += (
        f"\n\n{dataset}: {base.total:,} test images of {len(base.per_class)} base classes, "
        f"{new.total:,} of {len(new.per_class)} new ones"
    )
    if first[0].backbone in DEMO_WEIGHTS and not dataset.startswith("Shapes"):
        text += "\nThese are numbers of the demo pair, which knows drawn shapes only: they say nothing about CLIP."
    return text


def accuracies(base: RunRecord, new: RunRecord) -> tuple[float, float, float]:
    """Percent, from exact counts: base, new, and their harmonic mean, which is 0 if one of them is."""
    a, b = (_result(record).accuracy for record in (base, new))
    return a, b, 2 * a * b / (a + b) if a and b else 0.0


def _pair(*folders: str) -> tuple[RunRecord, RunRecord]:
    """The records of base and new."""
    records = []
    for folder, half in zip(folders, HALVES, strict=True):
        file = Path(folder) / FILE_NAME
        record = finished_record(file)
        if record is None or not record.evaluations:
            raise FileNotFoundError(f"There is no finished evaluation in {file}. Run it first.")
        if record.subsample != half:
            raise ValueError(f"{file} is of the {record.subsample} classes, not of the {half} ones.")
        records.append(record)
    return tuple(records)


def _result(record: RunRecord) -> Evaluation:
    return record.evaluations[-1]


def _model(record: RunRecord) -> dict[str, object]:
    """What the two halves of a row must share."""
    return {
        **{key: getattr(record, key) for key in ("trainer", "backbone", "seed", "shots")},
        "weights": record.weights_sha256["student"],
        "prompts": record.prompts_sha256,
    }


def _images(record: RunRecord) -> dict[str, object]:
    """What one column must share."""
    images = [(row["classname"], row["total"]) for row in _result(record).per_class]
    return {key: getattr(record, key) for key in ("dataset", "split_sha256")} | {"images of each class": images}


def _check_equal(title: str, ours: dict[str, object], other_title: str, others: dict[str, object]) -> None:
    for key, value in ours.items():
        if value != others[key]:
            raise ValueError(
                f"{title!r} and {other_title!r} do not belong into one table: the {key} of the first are {value}, "
                f"those of the second {others[key]}."
            )


if __name__ == "__main__":
    sys.exit(main())
