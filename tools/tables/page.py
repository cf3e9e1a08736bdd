"""One HTML page with all tables and plots; it needs nothing but itself."""

import base64
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup, escape

from kdpl.pages import render
from kdpl.run_record import FILE_NAME, read_record

from .cells import Cell, Table
from .comparison import method_of
from .figures import figures_of
from .grid import HEADINGS, LEGEND, MISSING, NOT_AVAILABLE, Line, lines_of, sources
from .headline import headline
from .layouts import BASE_TO_NEW

TEMPLATE = Path(__file__).with_name("page.html.j2")
QUIET = (MISSING, NOT_AVAILABLE)
HARMONIC_MEAN = "harmonic mean"


def page(tables: Sequence[Table], folder: Path | None = None, downloads: Sequence[tuple[str, str]] = ()) -> str:
    """The whole document.

    Args:
        folder: where it will lie; links to runs start from there, and without it there are none.
        downloads: names of files and their content, which the page carries.
    """
    first, more = figures_of(tables)
    return render(
        TEMPLATE, "Results", tables=tables, lead=headline(tables), facts=_facts(tables), figures=first,
        more_figures=more, downloads=[(name, _data_uri(text)) for name, text in downloads], legend=LEGEND,
        first_heading=HEADINGS[0], n_headings=len(HEADINGS), order_of=_order_of, groups_of=_groups_of, said=_said,
        sources=sources, hover=_hover, value_of=_value_of, runs_of=lambda table: _runs_of(table, folder),
        filters={"marked": _marked},
    )  # fmt: skip


@dataclass(frozen=True)
class Group:
    """The lines of one row of a table, which stay together however it is sorted."""

    cells: list[Cell]
    lines: list[Line]


def _groups_of(table: Table) -> Iterator[Group]:
    lines: list[list[Line]] = []
    for line in lines_of(table):
        lines += [[]] if line.kind == "result" else []
        lines[-1].append(line)
    return (Group(*pair) for pair in zip(table.cells, lines, strict=True))


def _order_of(table: Table) -> list[int]:
    """Places of the columns: the harmonic mean comes first, where a phone shows it."""
    places = list(range(len(table.columns)))
    if table.protocol != BASE_TO_NEW:
        return places
    return sorted(places, key=lambda place: table.columns[place].title != HARMONIC_MEAN)


def _said(line: Line) -> str:
    """What stands below the name of a method; on a phone only numbers may stand beside it."""
    _, learned_from, student, seeds = line.texts[: len(HEADINGS)]
    if line.kind != "result":
        return seeds
    return f"{student}, no training" if seeds == "-" else f"{student}, from {learned_from}, seeds {seeds}"


def _marked(text: str) -> Markup:
    """A published number with its verdict in colour; what is not there is quiet."""
    if text in QUIET:
        return Markup(f'<span class="quiet">{escape(text)}</span>')
    colour = {"inside": "good", "outside": "bad"}
    return Markup(
        re.sub(r" (inside|outside) ", lambda m: f' <span class="{colour[m[1]]}">{m[1]}</span> ', str(escape(text)))
    )


def _hover(cell: Cell) -> str:
    """The values behind a mean."""
    values = [
        f"seed {seed}: {value:.2f} %" if seed is not None else f"{value:.4f} %"
        for seed, value in cell.sample.by_seed.items()
    ]
    return ", ".join(values) or MISSING


def _value_of(cell: Cell) -> str:
    return repr(cell.sample.mean) if cell.sample else ""


def _runs_of(table: Table, folder: Path | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each row the names of its records and links to them."""
    if folder is None:
        return []
    found = []
    for row in table.rows:
        paths = sorted(row.all_paths)
        links = [(_short(path), quote(os.path.relpath(path, folder))) for path in paths]
        found.append((method_of(row.setting) + (f" ({row.differs})" if row.differs else ""), links))
    return found


def _short(path: Path) -> str:
    """The last two folders of a record, which tell it from its neighbours: the kind of run and the seed."""
    return "/".join(path.parent.parts[-2:])


def _facts(tables: Sequence[Table]) -> list[tuple[str, str]]:
    paths = {path for table in tables for path in table.paths}
    seeds = sorted({seed for table in tables for seed in table.seeds})
    facts = [("Records", f"{len(paths):,}")]
    if seeds:
        facts.append(("Seeds", " ".join(map(str, seeds))))
    versions: dict[str, set[str]] = {"kdpl": set(), "torch": set()}
    for path in paths:
        if path.name == FILE_NAME and path.is_file():
            for name, found in versions.items():
                found |= {version for version in [read_record(path).versions.get(name)] if version}
    facts += [(f"Trained with {name}", ", ".join(sorted(found))) for name, found in versions.items() if found]
    return facts


def _data_uri(text: str) -> str:
    return "data:text/plain;base64," + base64.b64encode(text.encode("utf-8")).decode()
