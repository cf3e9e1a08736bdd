"""Plots of tables as SVG in the page's text colour: base against new, few-shot curves, gains."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean, harmonic_mean

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  after the choice of backend
import numpy as np  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from .cells import Table  # noqa: E402
from .comparison import Row, method_of, method_order, short  # noqa: E402
from .seed_statistics import Sample  # noqa: E402

NOTE = {"fontsize": 8.5, "alpha": 0.6, "loc": "left"}  # a remark above the axes
INK = "#010203"  # stands for the page's text colour
# Readable on white and on black, and distinguishable to the colour-blind (after Okabe and Ito).
COLOURS = ("#0f86c9", "#d9711a", "#12997a", "#c968a0", "#b8890b", "#7a6fd0", "#5c8a2f", "#d2495f")
MARKERS = {"labels": "o", "teacher": "^", "vocabulary": "s", "nothing": "D", "zero-shot teacher": "*"}
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "kdpl", "font.size": 11, "font.family": "sans-serif",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "grid.alpha": 0.15,
    "legend.frameon": False, "legend.fontsize": 9, "legend.columnspacing": 1, "legend.handlelength": 1.6,
    "savefig.transparent": True,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "grid.color": INK,
}  # fmt: skip


def base_against_new(table: Table) -> str | None:
    """Each row as a named point with its spread, over curves of equal harmonic mean. None for a single point."""
    rows = [(row, cells[0].sample, cells[1].sample) for row, cells in zip(table.rows, table.cells, strict=True)]
    rows = [(row, base, new) for row, base, new in rows if base and new]
    if len(rows) < 2:
        return None
    with plt.rc_context(STYLE):
        near, far = _near_and_far(rows)
        figure, axes = _figure(len(near))
        for row, base, new in near:
            axes.errorbar(
                base.mean, new.mean, xerr=base.spread, yerr=new.spread, elinewidth=1, markersize=7, alpha=0.9,
                fmt=_marker(row, table.rows), color=_colour(row),
            )  # fmt: skip
        _curves_of_harmonic_mean(axes)
        outside = [f"{_label(row, table.rows)} ({base.mean:.1f}, {new.mean:.1f})" for row, base, new in far]
        axes.set(xlabel="accuracy on base classes, %", ylabel="accuracy on new classes, %")
        axes.set_title(
            "\n".join(["thin curves: equal harmonic mean", *(f"outside: {text}" for text in outside)]), **NOTE
        )
        _name_at_the_right(axes, [(base.mean, new.mean, row) for row, base, new in near], table.rows)
        return _svg(figure, "Accuracy on base against new classes: " + table.title)


Point = tuple[Row, Sample, Sample]


def _near_and_far(points: Sequence[Point]) -> tuple[list[Point], list[Point]]:
    """Points to draw, and zero-shot results so far away that they would squeeze all others into one spot."""
    trained = [(base.mean, new.mean) for row, base, new in points if not row.setting.zero_shot]
    if len(trained) < 2:
        return list(points), []
    centre = [fmean(values) for values in zip(*trained, strict=True)]
    reach = max(2.0, *(abs(value - c) for point in trained for value, c in zip(point, centre, strict=True)))

    def is_far(point: Point) -> bool:
        row, base, new = point
        away = max(abs(base.mean - centre[0]), abs(new.mean - centre[1]))
        return row.setting.zero_shot and away > 3 * reach

    return [p for p in points if not is_far(p)], [p for p in points if is_far(p)]


def few_shot_curves(table: Table) -> str | None:
    """Accuracy against shots, one line per row, horizontal for zero-shot. None if no row has more than one point."""
    lines = []
    for row, cells in zip(table.rows, table.cells, strict=True):
        points = [
            (int(column.title), cell.sample)
            for column, cell in zip(table.columns, cells, strict=True)
            if cell.sample and column.title.isdigit()
        ]
        if points:
            lines.append((row, points))
    if not any(len(points) > 1 for row, points in lines if not row.setting.zero_shot):
        return None
    with plt.rc_context(STYLE):
        figure, axes = _figure(len(lines))
        for row, points in lines:
            shots, samples = zip(*points, strict=True)
            style = {"color": _colour(row)}
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
        axes.set(xlabel="images per class", ylabel="accuracy, %")
        ends = [(points[-1][0], points[-1][1].mean, row) for row, points in lines]
        _name_at_the_right(axes, ends, table.rows)
        return _svg(figure, table.title)


def gain_bars(title: str, gains: Mapping[str, Mapping[Row, Sample]]) -> str | None:
    """Differences from the baselines, as a group of bars per dataset and a bar per row. None for a single bar.

    Args:
        gains: the differences by dataset and row.
    """
    gains = {name: of_rows for name, of_rows in gains.items() if any(of_rows.values())}
    rows = list(dict.fromkeys(row for of_rows in gains.values() for row, gain in of_rows.items() if gain))
    if sum(bool(gain) for of_rows in gains.values() for gain in of_rows.values()) < 2:
        return None
    with plt.rc_context(STYLE):
        alone = len(gains) == 1  # the bars of a single dataset are named on the axis
        figure, axes = plt.subplots(figsize=(5.2, 0.9 + (0.26 * len(rows) + 0.2) * len(gains) + 0.22 * (not alone)))
        thickness = 0.84 / len(rows)
        offsets = [(place - (len(rows) - 1) / 2) * thickness for place in range(len(rows))]
        for row, offset in zip(rows, offsets, strict=True):
            found = {n + offset: of_rows[row] for n, of_rows in enumerate(gains.values()) if of_rows.get(row)}
            axes.barh(
                list(found), [gain.mean for gain in found.values()], thickness * 0.8,
                xerr=[gain.spread or 0.0 for gain in found.values()], color=_colour(row), ecolor=INK,
                error_kw={"elinewidth": 1}, label=_label(row, rows),
            )  # fmt: skip
            for place, gain in found.items():
                reach = gain.mean + math.copysign(gain.spread or 0.0, gain.mean)
                side = "left" if reach >= 0 else "right"
                axes.annotate(
                    f"{gain.mean:+.1f}", (reach, place), (4 if reach >= 0 else -4, 0), textcoords="offset points",
                    va="center", ha=side, fontsize=9,
                )  # fmt: skip
        axes.axvline(0, color=INK, linewidth=1)
        axes.margins(x=0.14)
        axes.set_yticks(
            offsets if alone else range(len(gains)), [_label(row, rows) for row in rows] if alone else gains
        )
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xlabel("points")
        if not alone:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22 / len(gains) - 0.12), ncols=3)
        return _svg(figure, title)


def _figure(n_labels: int) -> tuple[Figure, Axes]:
    """A figure with room for that many names on its right."""
    return plt.subplots(figsize=(4.8, max(3.6, 0.22 * n_labels + 0.8)))


def _name_at_the_right(axes: Axes, points: Sequence[tuple[float, float, Row]], rows: Sequence[Row]) -> None:
    """Name points in a column beside the axes, in order of height, each with a thin line to its point."""
    bottom, top = axes.get_ylim()
    height = axes.figure.get_size_inches()[1] - 0.8
    gap = (top - bottom) * 0.19 / height  # a line of text
    ordered = sorted(points, key=lambda point: point[1])
    places: list[float] = []
    for _, y, _ in ordered:
        places.append(max(y, places[-1] + gap) if places else max(y, bottom))
    if places and places[-1] > top:  # push down whatever is too high
        places[-1] = top
        for i in reversed(range(len(places) - 1)):
            places[i] = min(places[i], places[i + 1] - gap)
    right = axes.get_xlim()[1]
    for (x, y, row), place in zip(ordered, places, strict=True):
        axes.annotate(
            _label(row, rows), (x, y), (1.03, (place - bottom) / (top - bottom)), textcoords="axes fraction",
            va="center", fontsize=9, color=INK, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": _colour(row), "alpha": 0.45, "linewidth": 0.7, "shrinkB": 4},
        )  # fmt: skip
    axes.set_xlim(right=right)


def _curves_of_harmonic_mean(axes: Axes) -> None:
    """Draw thin curves, each labelled where it leaves the figure."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    margin = max(2.0, 0.06 * (right - left), 0.06 * (top - bottom))
    left, right, bottom, top = max(0.1, left - margin), right + margin, max(0.1, bottom - margin), top + margin
    lowest, highest = harmonic_mean([left, bottom]), harmonic_mean([right, top])
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (highest - lowest) / step <= 8)
    for level in np.arange(math.ceil(lowest / step) * step, highest, step):
        x = np.linspace(max(left, level / 2 + 0.1), right, 200)
        y = level * x / (2 * x - level)  # 2xy / (x + y) = level
        inside = (y >= bottom) & (y <= top)
        if inside.sum() > 10:
            axes.plot(x[inside], y[inside], color=INK, alpha=0.22, linewidth=0.8)
            axes.annotate(
                f"{level:g}", (x[inside][0], y[inside][0]), (2, -2), textcoords="offset points", fontsize=8.5,
                color=INK, alpha=0.6, va="top",
            )  # fmt: skip
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.grid(False)


def _colour(row: Row) -> str:
    """One colour per method in all plots, paler if it learned from labels; the text colour for zero-shot."""
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


def _svg(figure: Figure, title: str) -> str:
    """The figure as an SVG element; its text stays text, in the page's colour."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.03)
    plt.close(figure)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' width="[^"]*"| height="[^"]*"', "", svg, count=2)
    return svg.replace("<svg", f'<svg role="img" aria-label="{title.replace(chr(34), "")}"', 1)
