"""A table of results: in every cell our number, its difference to a baseline, and the published one with a verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from .comparison import ACCURACY, ECE, Part, Row, baseline_of, difference, method_of
from .published import Published, find_published, not_comparable
from .seed_statistics import Sample, expected_band


@dataclass(frozen=True)
class Column:
    """What stands below a heading: one number made of one or more parts.

    Attributes:
        number: of each part, a name in :attr:`comparison.Score.numbers`.
        published_as: dataset and metric for :func:`find_published`.
    """

    title: str
    parts: tuple[Part, ...]
    combine: Callable[[Sequence[float]], float] = fmean
    published_as: tuple[str, str] | None = None
    number: str = ACCURACY

    def of_calibration_error(self) -> "Column":
        """The column with the calibration errors of the same parts."""
        return Column(f"{self.title}, ECE", self.parts, self.combine, number=ECE)


@dataclass(frozen=True)
class Cell:
    """Everything about one number.

    Attributes:
        missing_seeds: seeds that other rows of the table have, and this cell has not.
        verdict: inside, outside, or why the published number decides nothing; empty without one.
        band: half the width of the band around the published number, in points.
    """

    sample: Sample
    missing_seeds: tuple[int, ...]
    conflict: bool
    difference: Sample
    published: Published | None
    verdict: str
    band: float | None
    best: bool
    paths: tuple[Path, ...]


@dataclass
class Table:
    """Rows of cells below columns.

    Attributes:
        baselines: for each row the name of what it is compared with; empty where there is no comparison.
    """

    protocol: str
    title: str
    source: str | None
    shots: int | None
    columns: list[Column]
    rows: list[Row]
    cells: list[list[Cell]] = field(default_factory=list)
    baselines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for row in self.rows for seed in row.seeds})

    @property
    def paths(self) -> set[Path]:
        """Of all records that it is made from."""
        return {path for row in self.rows for path in row.all_paths}


def fill(table: Table, trainer: str | None = None) -> None:
    """Work out the cells, the names of the baselines and the notes.

    Args:
        trainer: that all rows are compared with, in place of their own baselines.
    """
    for row in table.rows:
        baseline, name = baseline_of(row, table.rows, trainer)
        cells = [_cell(table, row, column, baseline) for column in table.columns]
        table.baselines.append(name)
        table.cells.append(cells)
        table.notes += _notes(row)
        if baseline and not any(cell.difference for cell in cells):
            table.notes.append(
                f"{method_of(row.setting)}: no seed has the training split and the test images of {name}, "
                "so they are not compared."
            )
    _mark_best(table)
    if not any(cell.published for cells in table.cells for cell in cells):
        table.notes.append("Published values: not available for any cell of this table.")


def _cell(table: Table, row: Row, column: Column, baseline: Row | None) -> Cell:
    number = (column.parts, column.combine, column.number)
    sample = row.sample(*number)
    missing = () if row.setting.zero_shot else tuple(s for s in table.seeds if s not in sample.by_seed)
    published = None
    if column.published_as:
        published = find_published(table.protocol, row.setting, table.shots, *column.published_as)
    verdict, band = judge(sample, published, row)
    return Cell(
        sample=sample,
        missing_seeds=missing,
        conflict=any(part in column.parts for part, _ in row.conflicts),
        difference=difference(row, baseline, *number) if baseline else Sample({}),
        published=published,
        verdict=verdict,
        band=band,
        best=False,
        paths=tuple(row.paths(column.parts)),
    )


def judge(sample: Sample, published: Published | None, row: Row) -> tuple[str, float | None]:
    """Whether the mean lies in the band of :func:`expected_band`, or why that cannot be said; and the band."""
    if published is None or not sample:
        return "", None
    if reason := not_comparable(row.setting):
        return reason, None
    band = expected_band(sample, learned=not row.setting.zero_shot)
    if band is None:
        return "one seed, no verdict", None
    return ("inside" if abs(sample.mean - published.value) <= band else "outside"), band


def _notes(row: Row) -> list[str]:
    notes = []
    for (part, seed), paths in row.conflicts.items():
        notes.append(
            f"{method_of(row.setting)}, {_where(part, seed)}: records disagree, so none counts: "
            f"{_listed(paths)}. Keep the one that is right."
        )
    for part, seed, paths in row.duplicates:
        notes.append(
            f"{method_of(row.setting)}, {_where(part, seed)}: several trainings with the same result, counted once: "
            f"{_listed(paths)}."
        )
    return notes


def _where(part: Part, seed: int | None) -> str:
    words = [part.dataset, part.subsample if part.subsample != "all" else "", f"seed {seed}" * (seed is not None)]
    words.insert(2, f"{part.shots} shots" if part.shots else "")
    return ", ".join(word for word in words if word)


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)


def _mark_best(table: Table) -> None:
    """Mark the best learned mean of each student in each column, all of them in a tie at two decimals."""
    for place, column in enumerate(table.columns):
        groups: dict[tuple, list[int]] = {}
        for index, row in enumerate(table.rows):
            if not row.setting.zero_shot and table.cells[index][place].sample:
                seen = tuple(row.test_sets[part] for part in column.parts)
                groups.setdefault((row.setting.backbone, seen), []).append(index)
        for members in groups.values():
            means = {index: round(table.cells[index][place].sample.mean, 2) for index in members}
            best = (min if column.number == ECE else max)(means.values())
            for index, mean in means.items():
                if len(members) > 1 and mean == best:
                    table.cells[index][place] = replace(table.cells[index][place], best=True)
