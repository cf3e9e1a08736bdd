"""Tables as text for the terminal, Markdown, LaTeX and CSV."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tabulate import tabulate

from kdpl.atomic_files import atomic_path

from .cells import Cell, Column, Table
from .comparison import Row, method_of, saw
from .grid import HEADINGS, LEGEND, headings, lines_of, sources


def terminal(tables: Sequence[Table]) -> str:
    """Aligned columns."""
    texts = []
    for table in tables:
        grid = _tabulated(table, "simple", "· {}", lambda text, best: text + "*" * best)
        texts.append("\n".join([table.title, "", grid, *(f"- {note}" for note in [*table.notes, *sources(table)])]))
    return "\n\n\n".join([*texts, LEGEND]) + "\n"


def markdown(tables: Sequence[Table]) -> str:
    """Markdown with GitHub's tables."""

    def text_of(text: str, best: bool) -> str:
        text = re.sub(r"([\\|*_<])", r"\\\1", text)
        return f"**{text}**" if best else text

    texts = ["# Results"]
    for table in tables:
        grid = _tabulated(table, "pipe", "&emsp;{}", text_of)
        notes = "\n".join(f"- {text_of(note, False)}" for note in [*table.notes, *sources(table)])
        texts.append("\n\n".join(part for part in (f"## {text_of(table.title, False)}", grid, notes) if part))
    return "\n\n".join([*texts, text_of(LEGEND, False)]) + "\n"


def _tabulated(table: Table, style: str, indent: str, text_of: Callable[[str, bool], str]) -> str:
    rows = []
    for line in lines_of(table):
        texts = [text_of(text, place in line.best) for place, text in enumerate(line.texts)]
        rows.append([texts[0] if line.kind == "result" else indent.format(texts[0]), *texts[1:]])
    align = ["left"] * len(HEADINGS) + ["right"] * len(table.columns)
    return tabulate(rows, headings(table), style, colalign=align, disable_numparse=True)


LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Text escaped for LaTeX; characters that its standard fonts lack become question marks."""
    escaped = "".join(LATEX_SPECIAL.get(letter, letter) for letter in text)
    return escaped.encode("latin-1", "replace").decode("latin-1")


def latex(tables: Sequence[Table]) -> str:
    """A document with one ``table`` environment per table; to copy one, load booktabs and graphicx."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True,
        keep_trailing_newline=True, block_start_string="<%", block_end_string="%>", variable_start_string="<<",
        variable_end_string=">>",
    )  # fmt: skip
    environment.filters["tex"] = latex_text
    return environment.get_template("tables.tex.j2").render(
        tables=tables, legend=LEGEND, n_headings=len(HEADINGS), headings=headings, lines_of=lines_of, sources=sources,
        size_of=_size,
    )  # fmt: skip


def _size(entries: int) -> str:
    """The font size at which that many lines and rules fit on a page."""
    return next(
        (size for most, size in ((50, ""), (66, r"\footnotesize"), (84, r"\scriptsize")) if entries < most), r"\tiny"
    )


def comma_separated(tables: Sequence[Table]) -> str:
    """One line per cell, with everything known about it; numbers are not rounded."""
    lines = [
        _facts(table, row, column, cell, baseline)
        for table in tables
        for row, cells, baseline in zip(table.rows, table.cells, table.baselines, strict=True)
        for column, cell in zip(table.columns, cells, strict=True)
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, lines[0] if lines else (), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _facts(table: Table, row: Row, column: Column, cell: Cell, baseline: str) -> dict[str, object]:
    """One line, by column."""
    setting, sample, found = row.setting, cell.sample, cell.published
    return {
        "protocol": table.protocol,
        "table": table.title,
        "source_dataset": table.source,
        "shots": table.shots,
        "method": method_of(setting),
        "trainer": setting.trainer,
        "learned_from": saw(setting),
        "labels_used": setting.labels_used,
        "classnames": setting.classnames,
        "teacher": setting.teacher,
        "student": setting.backbone,
        "differs": row.differs,
        "column": column.title,
        "mean": sample.mean if sample else "records disagree" if cell.conflict else "missing",
        "spread": sample.spread if sample else None,
        "n_seeds": sample.n if not setting.zero_shot else 0,
        "seeds": " ".join(str(seed) for seed in sample.by_seed if seed is not None),
        "missing_seeds": " ".join(map(str, cell.missing_seeds)),
        "values": " ".join(repr(value) for value in sample.by_seed.values()),
        "baseline": baseline,
        "difference_mean": cell.difference.mean if cell.difference else None,
        "difference_spread": cell.difference.spread if cell.difference else None,
        "pairs": cell.difference.n if baseline else None,
        "published": found.value if found else "not available",
        "verdict": cell.verdict,
        "band": cell.band,
        "published_file": found and f"assets/published/{found.file}",
        "published_line": found and found.line,
        "published_source": found and found.source,
        "records": " ".join(str(path) for path in cell.paths),
    }


def report(tables: Sequence[Table], folder: Path | None = None) -> str:
    """The HTML page with plots, and CSV and LaTeX to download; only this needs matplotlib.

    Args:
        folder: where it will be written, for links to runs.
    """
    from .page import page

    return page(tables, folder, [("tables.csv", comma_separated(tables)), ("tables.tex", latex(tables))])


FORMATS = {
    "terminal": (terminal, "txt"),
    "markdown": (markdown, "md"),
    "latex": (latex, "tex"),
    "csv": (comma_separated, "csv"),
    "html": (report, "html"),
}


def write_all(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write every format except the terminal's into a folder; returns the files."""
    written = []
    for name, (render, ending) in FORMATS.items():
        if name != "terminal":
            path = folder / f"tables.{ending}"
            with atomic_path(path) as temporary:
                text = report(tables, folder) if name == "html" else render(tables)
                temporary.write_text(text, encoding="utf-8")
            written.append(path)
    return written
