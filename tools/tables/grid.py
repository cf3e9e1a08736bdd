"""A table as lines of text, the same for every format: a line of numbers, below it differences and published values."""

from dataclasses import dataclass

from .cells import Cell, Table
from .comparison import Row, method_of, saw, short
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
    """One line of a grid.

    Attributes:
        kind: "result", "difference" or "published".
        texts: of all columns.
        best: places of texts that are the best of their column.
    """

    kind: str
    texts: tuple[str, ...]
    best: frozenset[int] = frozenset()


def headings(table: Table) -> tuple[str, ...]:
    return (*HEADINGS, *(column.title for column in table.columns))


def lines_of(table: Table) -> list[Line]:
    """The lines of all rows in order.

    A row without numbers of its own kind has no line of that kind: what learns nothing is compared with nothing.
    """
    lines = []
    any_published = any(cell.published for cells in table.cells for cell in cells)
    for row, cells, baseline in zip(table.rows, table.cells, table.baselines, strict=True):
        best = frozenset(len(HEADINGS) + place for place, cell in enumerate(cells) if cell.best)
        lines.append(Line("result", (*_labels(row, table), *(number(cell) for cell in cells)), best))
        if baseline:
            texts = (signed(cell) for cell in cells)
            lines.append(Line("difference", (f"minus {baseline}", "", "", _pairs(cells), *texts)))
        if any_published:
            lines.append(Line("published", ("published", "", "", "", *(published(cell) for cell in cells))))
    return lines


def number(cell: Cell) -> str:
    """Mean and spread in percent; how many seeds, where some are missing or have records that disagree."""
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
    """The published number, the verdict, and the mark of its source."""
    if cell.published is None:
        return NOT_AVAILABLE
    band = f" ±{cell.band:.2f}" if cell.band is not None else ""
    verdict = f" {cell.verdict}{band}" if cell.verdict else ""
    return f"{cell.published.value:.2f}{verdict} [{mark(cell)}]"


def mark(cell: Cell) -> str:
    """A letter for the file and the line in it, such as a31; :func:`sources` tells them."""
    return f"{'abc'[FILES.index(cell.published.file)]}{cell.published.line}"


def sources(table: Table) -> list[str]:
    """For each published number of a table its mark, file, line and source; numbers of one source together."""
    by_source: dict[tuple[str, str], list[Cell]] = {}
    for cells in table.cells:
        for cell in cells:
            if cell.published:
                by_source.setdefault((cell.published.file, cell.published.source), []).append(cell)
    texts = []
    for (file, source), cells in by_source.items():
        marks = sorted({mark(cell) for cell in cells}, key=lambda text: int(text[1:]))
        numbers = ", ".join(f"[{text}]" for text in marks)
        texts.append(f"{numbers}: {source} (the number is the line in assets/published/{file}).")
    return texts


def _labels(row: Row, table: Table) -> tuple[str, str, str, str]:
    method = method_of(row.setting) + (f" ({row.differs})" if row.differs else "")
    seeds = " ".join(str(seed) for seed in sorted(row.seeds))
    missing = sorted(set(table.seeds) - row.seeds)
    if missing and not row.setting.zero_shot:
        seeds = f"{seeds} (not {' '.join(str(seed) for seed in missing)})"
    return method, saw(row.setting), short(row.setting.backbone), seeds or "-"


def _pairs(cells: list[Cell]) -> str:
    counts = sorted({cell.difference.n for cell in cells if cell.difference})
    return " or ".join(str(count) for count in counts) + " pairs" * bool(counts) if counts != [1] else "1 pair"


def _spread(spread: float | None) -> str:
    return f" ± {spread:.2f}" if spread is not None else ""
