"""One self-contained HTML page with all tables and plots."""

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
from .comparison import ACCURACY, Row, method_of, name_of, short
from .figures import figures_of
from .grid import HEADINGS, LEGEND, MISSING, NOT_AVAILABLE, Line, lines_of, sources
from .layouts import BASE_TO_NEW

TEMPLATE = Path(__file__).with_name("page.html.j2")
QUIET = (MISSING, NOT_AVAILABLE)
HARMONIC_MEAN = "harmonic mean"


def page(tables: Sequence[Table], folder: Path | None = None, downloads: Sequence[tuple[str, str]] = ()) -> str:
    """Render the page.

    Args:
        folder: where it will be written, for links to runs; without it there are no links.
        downloads: names and contents of files that the page offers to download.
    """
    first, more = figures_of(tables)
    return render(
        TEMPLATE, "Results", tables=tables, lead=headline(tables), facts=_facts(tables), figures=first,
        more_figures=more, downloads=[(name, _data_uri(text)) for name, text in downloads], legend=LEGEND,
        first_heading=HEADINGS[0], n_headings=len(HEADINGS), order_of=_order_of, groups_of=_groups_of, said=_said,
        sources=sources, hover=_hover, value_of=_value_of, runs_of=lambda table: _runs_of(table, folder),
        filters={"marked": _marked},
    )  # fmt: skip


def headline(tables: Sequence[Table]) -> str:
    """The main result in one sentence: the best trained row of the first table that has one, and its gain over CLIP."""
    for table in tables:
        place = _main_column(table)
        trained = [
            (row, cells[place])
            for row, cells in zip(table.rows, table.cells, strict=True)
            if not row.setting.zero_shot and cells[place].sample
        ]
        if trained:
            return _sentence(table, place, *max(trained, key=lambda pair: pair[1].sample.mean))
    return ""


def _main_column(table: Table) -> int:
    """The harmonic mean, or otherwise the last accuracy, which is the average if there is one."""
    titles = [column.title for column in table.columns]
    if table.protocol == BASE_TO_NEW and HARMONIC_MEAN in titles:
        return titles.index(HARMONIC_MEAN)
    return max(place for place, column in enumerate(table.columns) if column.number == ACCURACY)


def _sentence(table: Table, place: int, row: Row, cell: Cell) -> str:
    column = table.columns[place].title
    what = "harmonic mean" if column == HARMONIC_MEAN else f"accuracy on {column}" if column else "accuracy"
    value = f"{cell.sample.mean:.1f}\N{NO-BREAK SPACE}%"
    text = f"{method_of(row.setting)} is best: {what} {value} with {short(row.setting.backbone)}"
    zero_shot = [
        cells[place].sample.mean
        for other, cells in zip(table.rows, table.cells, strict=True)
        if other.setting.trainer == "ZeroshotCLIP"
        and other.setting.backbone == row.setting.backbone
        and other.test_sets.keys() & row.test_sets.keys()
        and cells[place].sample
    ]
    if zero_shot:
        gain = cell.sample.mean - zero_shot[0]
        text += f", {abs(gain):.1f} points {'above' if gain >= 0 else 'below'} zero-shot CLIP"
    return f"{text} ({table.title[:1].lower()}{table.title[1:]})."


@dataclass(frozen=True)
class Group:
    """The lines of one row of a table, which stay together when it is sorted."""

    cells: list[Cell]
    lines: list[Line]


def _groups_of(table: Table) -> Iterator[Group]:
    lines: list[list[Line]] = []
    for line in lines_of(table):
        lines += [[]] if line.kind == "result" else []
        lines[-1].append(line)
    return (Group(*pair) for pair in zip(table.cells, lines, strict=True))


def _order_of(table: Table) -> list[int]:
    """The order of the columns: the harmonic mean first, so that it is visible on a phone."""
    places = list(range(len(table.columns)))
    if table.protocol != BASE_TO_NEW:
        return places
    return sorted(places, key=lambda place: table.columns[place].title != HARMONIC_MEAN)


def _said(line: Line) -> str:
    """The line below the name of a method, because phones have room only for numbers beside it."""
    _, learned_from, student, seeds = line.texts[: len(HEADINGS)]
    if line.kind != "result":
        return seeds
    return f"{student}, no training" if seeds == "-" else f"{student}, from {learned_from}, seeds {seeds}"


def _marked(text: str) -> Markup:
    """A published number with its verdict in colour; missing values are greyed out."""
    if text in QUIET:
        return Markup(f'<span class="quiet">{escape(text)}</span>')
    colour = {"inside": "good", "outside": "bad"}
    return Markup(
        re.sub(r" (inside|outside) ", lambda m: f' <span class="{colour[m[1]]}">{m[1]}</span> ', str(escape(text)))
    )


def _hover(cell: Cell) -> str:
    """The values behind a mean, shown on hover."""
    values = [
        f"seed {seed}: {value:.2f} %" if seed is not None else f"{value:.4f} %"
        for seed, value in cell.sample.by_seed.items()
    ]
    return ", ".join(values) or MISSING


def _value_of(cell: Cell) -> str:
    return repr(cell.sample.mean) if cell.sample else ""


def _runs_of(table: Table, folder: Path | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each row, its records as texts and links."""
    if folder is None:
        return []
    found = []
    for row in table.rows:
        paths = sorted(row.all_paths)
        links = [(_short(path), quote(os.path.relpath(path, folder))) for path in paths]
        found.append((name_of(row), links))
    return found


def _short(path: Path) -> str:
    """The last two folders of a record's path: the kind of run and the seed."""
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
