"""A table as lines of text, shared by all formats: each row has its numbers, then differences and published values."""

from collections import defaultdict
from dataclasses import dataclass

from .cells import Cell, Table
from .comparison import Row, name_of, saw, short
from .published import FILES

LEGEND = (
    "Accuracy in percent: mean ± sample standard deviation over seeds, from exact counts. Differences, in points, are "
    "paired: the same seed, shots, training split and test images. Bold (in the terminal *) is the best of the trained "
    "rows with the same student and test images. A published mean, over three seeds, is inside if ours lies inside the "
    "95 % band expected from seed variance and rounding; a single seed gives no verdict."
)
HEADINGS = ("method", "learned from", "student", "seeds")
MISSING = "missing"
NOT_AVAILABLE = "not available"


@dataclass(frozen=True)
class Line:
    """One line of text.

    Attributes:
        kind: "result", "difference" or "published".
        texts: one per column, headings included.
        best: positions of texts that are the best of their column.
    """

    kind: str
    texts: tuple[str, ...]
    best: frozenset[int] = frozenset()


def headings(table: Table) -> tuple[str, ...]:
    return (*HEADINGS, *(column.title for column in table.columns))


def lines_of(table: Table) -> list[Line]:
    """All lines in order; a row without a baseline has no line of differences."""
    lines = []
    any_published = any(cell.published for cells in table.cells for cell in cells)
    for row, cells, baseline in zip(table.rows, table.cells, table.baselines, strict=True):
        best = frozenset(len(HEADINGS) + place for place, cell in enumerate(cells) if cell.best)
        lines.append(Line("result", (*_labels(row, table), *map(number, cells)), best))
        if baseline:
            lines.append(Line("difference", (f"minus {baseline}", "", "", _pairs(cells), *map(signed, cells))))
        if any_published:
            lines.append(Line("published", ("published", "", "", "", *map(published, cells))))
    return lines


def number(cell: Cell) -> str:
    """Mean and spread in percent, with a remark if seeds are missing or their records disagree."""
    remarks = [f"{cell.sample.n} of {cell.sample.n + len(cell.missing_seeds)}"] * bool(cell.missing_seeds)
    remarks += ["records disagree"] * cell.conflict
    if not cell.sample:
        return "records disagree" if cell.conflict else MISSING
    remark = f" ({', '.join(remarks)})" if remarks else ""
    return f"{cell.sample.mean:.2f}{_spread(cell.sample.spread)}{remark}"


def signed(cell: Cell) -> str:
    """The paired difference in points."""
    if not cell.difference:
        return MISSING
    return f"{cell.difference.mean:+.2f}{_spread(cell.difference.spread)}"


def published(cell: Cell) -> str:
    """The published number, the verdict, and a reference to its source."""
    if cell.published is None:
        return NOT_AVAILABLE
    band = f" ±{cell.band:.2f}" if cell.band is not None else ""
    verdict = f" {cell.verdict}{band}" if cell.verdict else ""
    return f"{cell.published.value:.2f}{verdict} [{mark(cell)}]"


def mark(cell: Cell) -> str:
    """A letter for the file and the line in it, such as a31, as explained by :func:`sources`."""
    return f"{'abc'[FILES.index(cell.published.file)]}{cell.published.line}"


def sources(table: Table) -> list[str]:
    """File, lines and source of the published numbers in a table, one text per source."""
    by_source: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in (cell for cells in table.cells for cell in cells if cell.published):
        by_source[cell.published.file, cell.published.source].add(mark(cell))
    texts = []
    for (file, source), marks in by_source.items():
        numbers = ", ".join(f"[{text}]" for text in sorted(marks, key=lambda text: int(text[1:])))
        texts.append(f"{numbers}: {source} (the number is the line in assets/published/{file}).")
    return texts


def _labels(row: Row, table: Table) -> tuple[str, str, str, str]:
    seeds = " ".join(map(str, sorted(row.seeds)))
    missing = sorted(set(table.seeds) - row.seeds)
    if missing and not row.setting.zero_shot:
        seeds = f"{seeds} (not {' '.join(map(str, missing))})"
    return name_of(row), saw(row.setting), short(row.setting.backbone), seeds or "-"


def _pairs(cells: list[Cell]) -> str:
    counts = sorted({cell.difference.n for cell in cells if cell.difference})
    return " or ".join(map(str, counts)) + " pairs" * bool(counts) if counts != [1] else "1 pair"


def _spread(spread: float | None) -> str:
    return f" ± {spread:.2f}" if spread is not None else ""
