"""A table of results: cells with our number, its difference from a baseline, and the published one with a verdict."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from .comparison import ACCURACY, ECE, Part, Row, baseline_of, difference, method_of
from .published import PAPER_TEACHER, Published, find_published
from .seed_statistics import Sample, expected_band


@dataclass(frozen=True)
class Column:
    """A heading, and how the number below it is combined from one or more parts.

    Attributes:
        number: which of the numbers of each part, ACCURACY or ECE.
        published_as: dataset and metric for :func:`find_published`.
    """

    title: str
    parts: tuple[Part, ...]
    combine: Callable[[Sequence[float]], float] = fmean
    published_as: tuple[str, str] | None = None
    number: str = ACCURACY

    def of_calibration_error(self) -> "Column":
        """The same column for calibration errors."""
        return Column(f"{self.title}, ECE", self.parts, self.combine, number=ECE)


@dataclass(frozen=True)
class Cell:
    """Everything known about one number.

    Attributes:
        missing_seeds: seeds that other rows of the table have but this cell lacks.
        conflict: whether records of some seed disagree.
        verdict: inside, outside, or why there is none; empty without a published number.
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
    """Columns, and rows of cells below them.

    Attributes:
        baselines: for each row, the name of what it is compared with; empty if there is no comparison.
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
        """All records behind the table."""
        return {path for row in self.rows for path in row.all_paths}


def fill(table: Table, trainer: str | None = None) -> None:
    """Compute the cells, the names of the baselines and the notes.

    Args:
        trainer: the baseline for all rows, instead of each row's own.
    """
    for row in table.rows:
        baseline, name = baseline_of(row, table.rows, trainer)
        cells = [_cell(table, row, column, baseline) for column in table.columns]
        table.baselines.append(name)
        table.cells.append(cells)
        table.notes += _notes(row)
        if baseline and not any(cell.difference for cell in cells):
            table.notes.append(
                f"{method_of(row.setting)}: no seed shares its training split and test images with {name}, "
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
    """Whether the mean lies inside :func:`expected_band`, or why there is no verdict; and the band."""
    if published is None or not sample:
        return "", None
    if row.setting.distilled and row.setting.teacher != PAPER_TEACHER:
        return "published with another teacher", None
    band = expected_band(sample, learned=not row.setting.zero_shot)
    if band is None:
        return "one seed, no verdict", None
    return ("inside" if abs(sample.mean - published.value) <= band else "outside"), band


def _notes(row: Row) -> list[str]:
    def note(part: Part, seed: int | None, what: str, paths: Sequence[Path], advice: str) -> str:
        where = [
            part.dataset,
            *[part.subsample] * (part.subsample != "all"),
            *[f"{part.shots} shots"] * bool(part.shots),
        ]
        where += [f"seed {seed}"] * (seed is not None)
        return f"{method_of(row.setting)}, {', '.join(where)}: {what}: {', '.join(map(str, paths))}.{advice}"

    return [
        note(part, seed, "records disagree, so none is used", paths, " Keep the one that is right.")
        for (part, seed), paths in row.conflicts.items()
    ] + [
        note(part, seed, "several training runs with the same result, counted once", paths, "")
        for part, seed, paths in row.duplicates
    ]


def _mark_best(table: Table) -> None:
    """Mark the best trained mean per student and column; ties at two decimals are all marked."""
    for place, column in enumerate(table.columns):
        groups: dict[tuple, list[int]] = defaultdict(list)
        for index, row in enumerate(table.rows):
            if not row.setting.zero_shot and table.cells[index][place].sample:
                groups[row.setting.backbone, tuple(row.test_sets[part] for part in column.parts)].append(index)
        for members in groups.values():
            means = {index: round(table.cells[index][place].sample.mean, 2) for index in members}
            best = (min if column.number == ECE else max)(means.values())
            for index, mean in means.items():
                if len(members) > 1 and mean == best:
                    table.cells[index][place] = replace(table.cells[index][place], best=True)
