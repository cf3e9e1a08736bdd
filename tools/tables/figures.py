"""The plots for a set of tables, the most informative first."""

from collections.abc import Sequence

from .cells import Table
from .comparison import ACCURACY, Row, method_of, saw, short
from .layouts import BASE_TO_NEW, FEW_SHOT, in_shots
from .plots import base_against_new, few_shot_curves, gain_bars
from .seed_statistics import Sample

Figures = list[tuple[str, str]]
HALVES = ("base classes", "new classes", "harmonic mean")


def figures_of(tables: Sequence[Table]) -> tuple[Figures, Figures]:
    """Title and SVG of each plot: those shown first, and further ones of single datasets or one half of the classes.

    If there is an average over datasets, only the average is shown first.
    """
    of_halves = [table for table in tables if table.protocol == BASE_TO_NEW]
    averages = [table for table in of_halves if table.source is None]
    drawn = [(table.title, base_against_new(table)) for table in averages or of_halves]
    more = [(table.title, base_against_new(table)) for table in of_halves if averages and table not in averages]
    drawn += [(table.title, few_shot_curves(table)) for table in tables if table.protocol == FEW_SHOT]
    drawn += _gains_of_halves(tables, HALVES[2:])
    for table in tables:
        if table.protocol not in (BASE_TO_NEW, FEW_SHOT):
            places = [
                (column.title, table, place) for place, column in enumerate(table.columns) if column.number == ACCURACY
            ]
            drawn += _bars(f"{table.protocol} from {table.source}", places)
    return _drawn(drawn), _drawn(more + _gains_of_halves(tables, HALVES[:2]))


def _drawn(figures: Sequence[tuple[str, str | None]]) -> Figures:
    return [(title, svg) for title, svg in figures if svg]


def _gains_of_halves(tables: Sequence[Table], halves: Sequence[str]) -> list[tuple[str, str | None]]:
    """Base to new: the bars of all datasets, one figure for each of ``halves``."""
    drawn = []
    of_halves = [table for table in tables if table.protocol == BASE_TO_NEW]
    for shots in dict.fromkeys(table.shots for table in of_halves):
        here = [table for table in of_halves if table.shots == shots]
        for half in halves:
            places = [(table.source or "average", table, HALVES.index(half)) for table in here]
            drawn += _bars(f"{half}, {in_shots(shots)}", places)
    return drawn


def _bars(what: str, places: Sequence[tuple[str, Table, int]]) -> list[tuple[str, str | None]]:
    """One figure per student and kind of training (labels, KDPL, KDPL-CA), since their baselines differ.

    Args:
        places: for each group of bars its name, table and column.
    """
    rows: dict[tuple[str, ...], Row] = {}  # the same setting has a row in each table
    figures: dict[str, dict[str, dict[Row, Sample]]] = {}
    for name, table, place in places:
        for row, cells, baseline in zip(table.rows, table.cells, table.baselines, strict=True):
            if baseline:
                student = short(row.setting.backbone)
                key = (method_of(row.setting), saw(row.setting), student, row.differs)
                kind = method_of(row.setting).partition(" + ")[2] or "Labels"
                subtracted = "zero-shot" if "zero-shot" in baseline else "the method with labels"
                figure = figures.setdefault(f"{kind} minus {subtracted}: {what}, {student}", {})
                figure.setdefault(name, {})[rows.setdefault(key, row)] = cells[place].difference
    return [(title, gain_bars(title, gains)) for title, gains in figures.items()]
