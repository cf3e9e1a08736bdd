"""The main result of some tables in one sentence."""

from collections.abc import Sequence

from .cells import Cell, Table
from .comparison import ACCURACY, Row, method_of, short
from .layouts import BASE_TO_NEW

HARMONIC_MEAN = "harmonic mean"


def headline(tables: Sequence[Table]) -> str:
    """The best trained row of the first table that has one, and its gain over zero-shot CLIP; empty without one."""
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
    """The harmonic mean, or else the average or whatever accuracy comes last."""
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
        if other.setting.trainer == "ZeroshotCLIP" and other.setting.backbone == row.setting.backbone
        and other.test_sets.keys() & row.test_sets.keys() and cells[place].sample
    ]  # fmt: skip
    if zero_shot:
        gain = cell.sample.mean - zero_shot[0]
        text += f", {abs(gain):.1f} points {'above' if gain >= 0 else 'below'} zero-shot CLIP"
    return f"{text} ({table.title[:1].lower()}{table.title[1:]})."
