"""One HTML page with all tables and plots; it needs nothing but itself."""

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from .cells import Table
from .comparison import ACCURACY, Row, method_of, saw, short
from .grid import HEADINGS, LEGEND, lines_of, sources
from .layouts import BASE_TO_NEW, FEW_SHOT, in_shots
from .plots import base_against_new, few_shot_curves, gain_bars
from .seed_statistics import Sample

TEMPLATE = Path(__file__).with_name("page.html.j2")


def page(tables: Sequence[Table]) -> str:
    """The whole document."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["with_verdict"] = _with_verdict
    return environment.get_template(TEMPLATE.name).render(
        tables=tables, figures=_figures(tables), legend=LEGEND, first_heading=HEADINGS[0], n_headings=len(HEADINGS),
        lines_of=lines_of, sources=sources,
    )  # fmt: skip


def _with_verdict(text: str) -> Markup:
    """A published number with its verdict as an element that has a colour."""
    return Markup(re.sub(r" (inside|outside) ", r' <span class="\1">\1</span> ', str(escape(text))))


def _figures(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Title and SVG of each plot."""
    drawn = [(table.title, base_against_new(table)) for table in tables if table.protocol == BASE_TO_NEW]
    drawn += [(table.title, few_shot_curves(table)) for table in tables if table.protocol == FEW_SHOT]
    drawn += _gains(tables)
    return [(title, svg) for title, svg in drawn if svg]


def _gains(tables: Sequence[Table]) -> list[tuple[str, str | None]]:
    """Bars a dataset: base to new of all datasets together, for each half; other protocols a figure a table."""
    drawn = []
    halves = [table for table in tables if table.protocol == BASE_TO_NEW]
    for shots in dict.fromkeys(table.shots for table in halves):
        here = [table for table in halves if table.shots == shots]
        for place, half in enumerate(("base classes", "new classes", "harmonic mean")):
            drawn += _bars(f"{half}, {in_shots(shots)}", [(table.source or "average", table, place) for table in here])
    for table in tables:
        if table.protocol not in (BASE_TO_NEW, FEW_SHOT):
            places = [
                (column.title, table, place) for place, column in enumerate(table.columns) if column.number == ACCURACY
            ]
            drawn += _bars(f"{table.protocol} from {table.source}", places)
    return drawn


def _bars(what: str, places: Sequence[tuple[str, Table, int]]) -> list[tuple[str, str | None]]:
    """A figure each for KDPL, KDPL-CA and methods with labels, as their baselines differ, and for each student.

    Args:
        places: what a group of bars is called, and the table and the column that it is from.
    """
    rows: dict[tuple[str, ...], Row] = {}  # the same setting is a row of its own in each table
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
