"""Plots of tables as SVG that takes the page's text colour: base against new, few-shot curves, gains."""

import io
import math
import re
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  after the choice of what draws
import numpy as np  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from .cells import Table  # noqa: E402
from .comparison import Row, method_of, method_order, short  # noqa: E402
from .seed_statistics import Sample, harmonic_mean  # noqa: E402

INK = "#010203"  # stands for the page's text colour
# Readable on white and on black, and told apart by the colour-blind (after Okabe and Ito).
COLOURS = ("#0f86c9", "#d9711a", "#12997a", "#c968a0", "#b8890b", "#7a6fd0", "#5c8a2f", "#d2495f")
MARKERS = {"labels": "o", "teacher": "^", "vocabulary": "s", "nothing": "D", "zero-shot teacher": "*"}
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "kdpl", "font.size": 11, "font.family": "sans-serif",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "grid.alpha": 0.15,
    "legend.frameon": False, "legend.fontsize": 9, "legend.columnspacing": 1, "legend.handlelength": 1.6,
    "figure.constrained_layout.use": True, "savefig.transparent": True,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "grid.color": INK,
}  # fmt: skip


def base_against_new(table: Table) -> str | None:
    """Each row as a point, with its spread; curves of equal harmonic mean behind."""
    rows = [(row, cells[0].sample, cells[1].sample) for row, cells in zip(table.rows, table.cells, strict=True)]
    rows = [(row, base, new) for row, base, new in rows if base and new]
    if not rows:
        return None
    with plt.rc_context(STYLE):
        figure, axes = _figure([_label(row, table.rows) for row, _, _ in rows])
        for row, base, new in rows:
            axes.errorbar(
                base.mean, new.mean, xerr=base.spread, yerr=new.spread, elinewidth=1, markersize=8, alpha=0.9,
                fmt=_marker(row, table.rows), color=_colour(row), label=_label(row, table.rows),
            )  # fmt: skip
        _curves_of_harmonic_mean(axes)
        axes.set(xlabel="accuracy on base classes, %", ylabel="accuracy on new classes, %")
        return _svg(figure, axes, "Accuracy on base against new classes: " + table.title)


def few_shot_curves(table: Table) -> str | None:
    """Accuracy against shots, a line a row, with its spread; what learns nothing is a level line."""
    lines = []
    for row, cells in zip(table.rows, table.cells, strict=True):
        points = [
            (int(column.title), cell.sample)
            for column, cell in zip(table.columns, cells, strict=True)
            if cell.sample and column.title.isdigit()
        ]
        if points:
            lines.append((row, points))
    if not lines:
        return None
    with plt.rc_context(STYLE):
        figure, axes = _figure([_label(row, table.rows) for row, _ in lines])
        for row, points in lines:
            shots, samples = zip(*points, strict=True)
            style = {"color": _colour(row), "label": _label(row, table.rows)}
            if row.setting.zero_shot:
                axes.axhline(samples[0].mean, linestyle="--" if _is_student(row, table.rows) else ":", **style)
                continue
            spreads = [sample.spread or 0.0 for sample in samples]
            means = [sample.mean for sample in samples]
            axes.errorbar(
                shots, means, yerr=spreads, fmt="-" + _marker(row, table.rows), markersize=5, elinewidth=1, **style
            )
        ticks = sorted({shots for row, points in lines for shots, _ in points if shots})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set(xlabel="images a class", ylabel="accuracy, %")
        return _svg(figure, axes, table.title)


def gain_bars(title: str, gains: Mapping[str, Mapping[Row, Sample]]) -> str | None:
    """Paired differences to the baselines, a group of bars a dataset, a bar a row.

    Args:
        gains: of each dataset the difference of each row.
    """
    gains = {name: of_rows for name, of_rows in gains.items() if any(of_rows.values())}
    rows = list(dict.fromkeys(row for of_rows in gains.values() for row, gain in of_rows.items() if gain))
    if not rows:
        return None
    with plt.rc_context(STYLE):
        figure, axes = _figure([_label(row, rows) for row in rows], height=0.8 + (0.16 * len(rows) + 0.16) * len(gains))
        thickness = 0.84 / len(rows)
        for place, row in enumerate(rows):
            found = {n: of_rows[row] for n, of_rows in enumerate(gains.values()) if of_rows.get(row)}
            axes.barh(
                [n + (place - (len(rows) - 1) / 2) * thickness for n in found],
                [gain.mean for gain in found.values()], thickness * 0.85,
                xerr=[gain.spread or 0.0 for gain in found.values()], color=_colour(row), ecolor=INK,
                error_kw={"elinewidth": 1}, label=_label(row, rows),
            )  # fmt: skip
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(gains)), gains)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xlabel("points")
        return _svg(figure, axes, title)


def _figure(labels: Sequence[str], height: float = 3.2) -> tuple[Figure, Axes]:
    """A figure that can be read on a phone, with room for a legend of these labels below."""
    return plt.subplots(figsize=(4.6, height + 0.3 + 0.2 * math.ceil(len(labels) / _columns(labels))))


def _columns(labels: Sequence[str]) -> int:
    """Of a legend."""
    return 2 if len(labels) > 4 and max(map(len, labels)) < 30 else 1


def _curves_of_harmonic_mean(axes: Axes) -> None:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    margin = max(2.0, 0.08 * (right - left), 0.08 * (top - bottom))
    left, right, bottom, top = max(0.1, left - margin), right + margin, max(0.1, bottom - margin), top + margin
    x, y = np.meshgrid(np.linspace(left, right, 80), np.linspace(bottom, top, 80))
    both = np.vectorize(lambda a, b: harmonic_mean([a, b]))(x, y)
    drawn = axes.contour(x, y, both, levels=6, colors=INK, alpha=0.25, linewidths=0.8, linestyles="dotted")
    axes.clabel(drawn, fmt="H %g", fontsize=8)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.grid(False)


def _colour(row: Row) -> str:
    """Of the method, the same in all plots, paler where it learned from labels; zero-shot in the text colour."""
    if row.setting.zero_shot:
        return INK
    colour = COLOURS[min(method_order(row.setting.base_method), len(COLOURS) - 1)]
    strength = 0.6 if row.setting.labels_used else 1.0
    return "#" + "".join(f"{round(255 - (255 - int(colour[i : i + 2], 16)) * strength):02x}" for i in (1, 3, 5))


def _marker(row: Row, rows: Sequence[Row]) -> str:
    if row.setting.zero_shot:
        return MARKERS["nothing" if _is_student(row, rows) else "zero-shot teacher"]
    if row.setting.classnames == "vocabulary":
        return MARKERS["vocabulary"]
    return MARKERS["labels" if row.setting.labels_used else "teacher"]


def _is_student(row: Row, rows: Sequence[Row]) -> bool:
    return any(row.setting.backbone == other.setting.backbone for other in rows if not other.setting.zero_shot)


def _label(row: Row, rows: Sequence[Row]) -> str:
    students = {other.setting.backbone for other in rows if other.setting.zero_shot == row.setting.zero_shot}
    student = f", {short(row.setting.backbone)}" if len(students) > 1 else ""
    differs = f" ({row.differs[:40]})" if row.differs else ""
    return method_of(row.setting) + student + differs


def _svg(figure: Figure, axes: Axes, title: str) -> str:
    """The figure as an element for a page; text stays text, and its colour is the page's."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=_columns(labels))
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' width="[^"]*"| height="[^"]*"', "", svg, count=2)
    return svg.replace("<svg", f'<svg role="img" aria-label="{title.replace(chr(34), "")}"', 1)
