"""Cells of the paper's tables: the runs that each needs, and how its numbers compare with the published ones."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdpl.names import check_known
from kdpl.run_record import FILE_NAME, Visible, record_of
from tools.sweep.__main__ import is_finished
from tools.sweep.plan import cfg_of
from tools.sweep.runs import Run
from tools.sweep.spec import FROM_A_SOURCE, METHODS, PROTOCOLS, Block, Spec
from tools.tables.cells import Column, fill
from tools.tables.comparison import Part as TestSet
from tools.tables.comparison import Row
from tools.tables.grid import MISSING, NOT_AVAILABLE
from tools.tables.layouts import BASE_TO_NEW, CROSS_DATASET, DOMAINS, FEW_SHOT, halves, table_of
from tools.tables.protocols import results_of
from tools.tables.published import Published
from tools.tables.records import Setting, read_run, setting_of
from trainers.kdpl.config import learns
from trainers.kdpl.configuration import build_cfg

TABLES = {  # names in tools.tables, and the published name of the average
    "base2new": (BASE_TO_NEW, "Average_11"),
    "cross_dataset": (CROSS_DATASET, "Average_10"),
    "domain_generalization": (DOMAINS, "Average_4_targets"),
    "few_shot": (FEW_SHOT, ""),
}
SPECS = {name: f"configs/sweeps/paper_{name}.yaml" for name in FROM_A_SOURCE + ("base2new",)}
SPECS |= {"few_shot": "configs/sweeps/few_shot.yaml"}
SETTINGS = {"": "labels", "_KDPL": "kdpl", "_KDPL-CA": "kdpl_ca"}
ZEROSHOT = {"CLIP": "zeroshot_student_generic", "teacher": "zeroshot_teacher"}
AVERAGE = "average"


@dataclass(frozen=True)
class Cell:
    """What to reproduce.

    Attributes:
        protocol: one of PROTOCOLS.
        method: one of METHODS or ZEROSHOT.
        setting: as in sweep files.
        dataset: a file in configs/datasets, or AVERAGE.
    """

    protocol: str
    method: str
    setting: str
    dataset: str


def parse_cell(text: str) -> Cell:
    """The cell with a name such as "base2new CoOp_KDPL dtd"."""
    words = text.split()
    if len(words) != 3:
        raise ValueError(
            f'The cell is {text!r}; write it as "<table> <method> <dataset>", such as base2new CoOp_KDPL dtd.'
        )
    protocol, method, dataset = words
    check_known(protocol, PROTOCOLS, "table", "the cell")
    methods = {f"{name}{suffix}": (name, setting) for name in METHODS for suffix, setting in SETTINGS.items()}
    methods |= {name: (name, setting) for name, setting in ZEROSHOT.items()}
    method = method.replace("+", "_")
    check_known(method, methods, "method", "the cell")
    known = [file.stem for file in Path("configs/datasets").glob("*.yaml")]
    check_known(dataset, [*known, AVERAGE], "dataset", "the cell")
    if protocol == "few_shot" and dataset == AVERAGE:
        raise ValueError("few_shot has no average. Name a dataset.")
    return Cell(protocol, *methods[method], dataset)


def narrowed(spec: Spec, cell: Cell, student: str | None) -> Block:
    """The part of a table's sweep file that the cell needs."""
    candidates: dict[str, Block] = {}
    for block in spec.blocks:
        for name, methods in block.students.items() if block.protocol == cell.protocol else ():
            if cell.method in ZEROSHOT or cell.method in methods:
                methods = methods[:1] if cell.method in ZEROSHOT else (cell.method,)
                candidates.setdefault(name, replace(block, students={name: methods}, settings=(cell.setting,)))
    student = student or next(iter(candidates), "")
    if student not in candidates:
        found = ", ".join(candidates) or "no student"
        raise ValueError(
            f"The table's file has this cell for {found}, but not for {student or cell.method}. Name another --student "
            "or --spec."
        )
    block = candidates[student]
    tested = [block.source, *block.datasets] if block.source else block.datasets
    if cell.dataset == AVERAGE:
        return block
    if cell.dataset not in tested:
        raise ValueError(f"The table's datasets are {', '.join(tested)}; {cell.dataset} is not among them.")
    return replace(block, datasets=tuple(name for name in (cell.dataset,) if name != block.source))


def setting_of_cell(runs: Sequence[Run]) -> Setting:
    """The setting that the runs of a cell share, known before there are any records."""
    cfg, _ = cfg_of(runs[0].parts[0].arguments)
    record, kdpl = record_of(cfg), cfg.TRAINER.KDPL
    distilled = record.trainer.endswith("_KDPL")
    if learns(record.trainer):
        classnames = "vocabulary" if distilled and kdpl.CLASS_AGNOSTIC else "dataset"
        record.visible = Visible(labels_used=not distilled, classnames=classnames)
        record.teacher = kdpl.TEACHER if distilled else None
    return setting_of(record)


def compare(cell: Cell, block: Block, runs: Sequence[Run], setting: Setting) -> tuple[list[list[Any]], set[str]]:
    """One line per number of the cell, computed from the finished runs as in tools.tables; and the verdicts."""
    parts = [part for run in filter(is_finished, runs) for part in run.parts]
    results = results_of([read_run(Path(part.folder) / FILE_NAME) for part in parts])
    datasets = [registered_name(name) for name in (block.datasets if cell.dataset == AVERAGE else [cell.dataset])]
    protocol, average = TABLES[cell.protocol]
    title = average if cell.dataset == AVERAGE else datasets[0]
    lines, verdicts = [], set()
    for shots in (None,) if setting.zero_shot else block.shots:
        tests = tuple(TestSet(name, "all", shots if protocol == FEW_SHOT else None) for name in datasets)
        columns = [Column("accuracy", tests, published_as=(title, "accuracy"))]
        columns = halves(datasets, title) if protocol == BASE_TO_NEW else columns
        members = [found for found in results if found.shots == shots and found.evaluation.dataset in datasets]
        table = table_of(protocol, title, members, columns, None, shots)
        table.rows = table.rows or [Row(setting)]  # for the published value alone
        fill(table)
        in_shots = f", {shots} shots" * (len(block.shots) > 1 and shots is not None)
        for column, number in zip(columns * len(table.rows), itertools.chain(*table.cells), strict=True):
            verdicts.add(number.verdict)
            lines.append([
                f"{title}, {column.title}{in_shots}",
                number.sample.mean if number.sample else MISSING,
                number.sample.n,
                number.published.value if number.published else NOT_AVAILABLE,
                f"± {number.band:.2f}" if number.band is not None else "",
                number.verdict or "none",
                _source(number.published),
            ])  # fmt: skip
    return lines, verdicts


def registered_name(dataset: str) -> str:
    """The name of a dataset in records, given its file."""
    return build_cfg([f"configs/datasets/{dataset}.yaml"], {}).DATASET.NAME


def _source(published: Published | None) -> str:
    return f"assets/published/{published.file} line {published.line}: {published.source}" if published else ""
