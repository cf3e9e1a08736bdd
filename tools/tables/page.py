"""One HTML page with all tables and plots; it needs nothing but itself."""

import re
from collections.abc import Sequence
from html import escape

from .cells import Table
from .comparison import Row, method_of, saw, short
from .grid import HEADINGS, LEGEND, Line, headings, lines_of, sources
from .layouts import BASE_TO_NEW, FEW_SHOT, in_shots
from .plots import base_against_new, few_shot_curves, gain_bars
from .seed_statistics import Sample

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent);
  --soft: color-mix(in srgb, currentColor 66%, transparent); --ground: light-dark(#fff, #16181c); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; font: 16px/1.45 system-ui, sans-serif;
  background: var(--ground); color: light-dark(#1c1e21, #e6e8eb); }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
nav ul { margin: .5rem 0; padding-left: 1.2rem; } a { color: inherit; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .9rem; font-weight: 600; margin-bottom: .3rem; }
svg { width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid var(--line); }
tr > :first-child { text-align: left; white-space: normal; min-width: 9rem; position: sticky; left: 0;
  background: var(--ground); }
tbody th { font-weight: inherit; border-bottom: 0; } small { color: var(--soft); }
.result small { display: block; }
tr.result:not(:first-child) > * { border-top: 1px solid var(--line); }
tr.difference, tr.published { color: var(--soft); font-size: .92em; }
tr.difference th, tr.published th { padding-left: 1.5rem; }
.inside { color: light-dark(#0a6b3d, #58c98f); } .outside { color: light-dark(#b3261e, #ff8a80); font-weight: 600; }
.notes { font-size: .85rem; color: var(--soft); padding-left: 1.2rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) { body { padding: .7rem; } table { font-size: .8rem; } th, td { padding: .3rem .4rem; } }
"""


def page(tables: Sequence[Table]) -> str:
    """The whole document."""
    contents = "".join(f'<li><a href="#t{n}">{escape(table.title)}</a></li>' for n, table in enumerate(tables))
    plots = [f"<h2>Plots</h2><div class=plots>{''.join(figures)}</div>"] if (figures := _figures(tables)) else []
    return "\n".join(
        [
            "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">', "<title>KDPL: results</title>",
            f"<style>{STYLE}</style></head><body>", "<h1>Results</h1>", f"<p>{escape(LEGEND)}</p>",
            f"<nav><ul>{contents}</ul></nav>", *plots,
            *(_section(n, table) for n, table in enumerate(tables)), "</body></html>", "",
        ]
    )  # fmt: skip


def _section(n: int, table: Table) -> str:
    titles = [headings(table)[0], *(column.title for column in table.columns)]
    head = "".join(f"<th scope=col>{escape(title)}</th>" for title in titles)
    body = "\n".join(_line(line) for line in lines_of(table))
    notes = "".join(f"<li>{escape(note)}</li>" for note in [*table.notes, *sources(table)])
    return (
        f'<section id="t{n}"><h2>{escape(table.title)}</h2><div class=scroll><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div><ul class=notes>{notes}</ul></section>"
    )


def _line(line: Line) -> str:
    """A row; on a phone only numbers may stand beside the method, so what else is said of it goes below its name."""
    method, learned_from, student, seeds = line.texts[: len(HEADINGS)]
    if line.kind == "result":
        said = f"{student}, no training" if seeds == "-" else f"{student}, from {learned_from}, seeds {seeds}"
    else:
        said = seeds
    cells = [f"<th scope=row>{escape(method)}{f' <small>{escape(said)}</small>' if said else ''}</th>"]
    for place, text in enumerate(line.texts[len(HEADINGS) :], start=len(HEADINGS)):
        text = f"<strong>{escape(text)}</strong>" if place in line.best else escape(text)
        text = re.sub(r" (inside|outside) ", r" <span class=\1>\1</span> ", text)
        cells.append(f"<td>{text}</td>")
    return f"<tr class={line.kind}>{''.join(cells)}</tr>"


def _figures(tables: Sequence[Table]) -> list[str]:
    drawn = [(table.title, base_against_new(table)) for table in tables if table.protocol == BASE_TO_NEW]
    drawn += [(table.title, few_shot_curves(table)) for table in tables if table.protocol == FEW_SHOT]
    drawn += _gains(tables)
    return [f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in drawn if svg]


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
            places = [(column.title, table, place) for place, column in enumerate(table.columns)]
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
