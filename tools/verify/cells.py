"""Level 3: cells of the paper's tables, with their published values and predicted times."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tabulate import tabulate

from kdpl.methods import METHODS
from kdpl.verification.checks import FAIL, PASS, SKIPPED, Check, Report
from tools import paper_cells
from tools.sweep.__main__ import in_words, run_missing
from tools.sweep.estimates import images_of_run, seconds_of_run, total
from tools.sweep.needs import unmet_needs
from tools.sweep.plan import plan
from tools.sweep.runs import Run
from tools.sweep.spec import Block, Spec, read_spec

METRICS = {"base2new": ("base", "new", "harmonic mean"), "cross_dataset": ("accuracy",)}
METRICS["domain_generalization"] = METRICS["cross_dataset"]


@dataclass(frozen=True)
class PublishedCell:
    """A cell with a published value, named as in ``tools.reproduce``.

    Attributes:
        values: the published values by metric: accuracy, or base, new and harmonic mean.
        seconds: predicted time of its missing runs; None if there are no finished runs to predict it from.
        images: number of images still to go through the models, counted once per epoch.
    """

    name: str
    student: str
    values: dict[str, float]
    seconds: float | None
    images: float
    runs: tuple[Run, ...]
    block: Block
    cell: paper_cells.Cell


def published_cells(root: Path, output: Path, student: str = "") -> list[PublishedCell]:
    """All cells with a published value, cheapest first; finished runs cost nothing.

    Args:
        student: only cells of this student; all if empty.
    """
    found = []
    for protocol in METRICS:
        spec = read_spec(paper_cells.SPECS[protocol])
        for block in spec.blocks:
            for clip in block.students:
                if clip == student or not student:
                    found += _cells_of(protocol, spec, block, clip, root, output)
    unique = {(cell.name, cell.student): cell for cell in found}
    return sorted(unique.values(), key=lambda cell: (cell.seconds is None, cell.seconds or 0.0, cell.images))


def _cells_of(
    protocol: str, spec: Spec, block: Block, student: str, root: Path, output: Path
) -> Iterator[PublishedCell]:
    datasets = [*dict.fromkeys(filter(None, (block.source, *block.datasets))), paper_cells.AVERAGE]
    trained = [(name, suffix) for name in METHODS if name in block.students[student] for suffix in paper_cells.SETTINGS]
    for method in [f"{name}{suffix}" for name, suffix in trained] + [*paper_cells.ZEROSHOT]:
        setting = None
        for dataset in datasets:
            cell = paper_cells.parse_cell(f"{protocol} {method} {dataset}")
            narrow = paper_cells.narrowed(spec, cell, student)
            if setting is None:  # slow to compute, and the same for all datasets of a method
                one = replace(narrow, datasets=narrow.datasets[:1], seeds=narrow.seeds[:1])
                setting = paper_cells.setting_of_cell(plan(Spec((one,)), root, output))
            lines, _ = paper_cells.compare(cell, narrow, [], setting)
            names = (line[0].rpartition(", ")[2] for line in lines)
            values = {n: line[3] for n, line in zip(names, lines, strict=True) if isinstance(line[3], float)}
            if values:
                runs = plan(replace(spec, blocks=(narrow,)), root, output)
                seconds, unknown = total(map(seconds_of_run, runs))
                yield PublishedCell(
                    f"{protocol} {method} {dataset}", student, values, None if unknown else seconds,
                    sum(map(images_of_run, runs)), tuple(runs), narrow, cell,
                )  # fmt: skip


def listing_of_cells(cells: Sequence[PublishedCell]) -> str:
    """A table of cells, followed by how to run one."""
    lines = [
        [
            f'"{cell.name}"', cell.student, ", ".join(f"{what} {value:.2f}" for what, value in cell.values.items()),
            in_words(cell.seconds), f"{cell.images:,.0f}",
        ]
        for cell in cells
    ]  # fmt: skip
    table = tabulate(lines, headers=["cell", "student", "published, %", "time left", "images"], disable_numparse=True)
    return (
        f"{table}\n\n{len(cells)} cells, cheapest first. Times are predicted from finished runs in the output folder; "
        "cells without a prediction are sorted by the number of images still to go through the models.\n"
        'To run one: python -m tools.reproduce "<cell>" --student STUDENT'
    )


def run_level_3(report: Report, args: argparse.Namespace, root: Path, output: Path) -> None:
    """Run the ``args.cells`` cheapest cells whose datasets and CLIPs are on this machine."""
    left = args.cells
    for cell in published_cells(root, output, args.student):
        if not left:
            break
        if unmet_needs(cell.runs):
            continue
        left -= 1
        title = f"{cell.name}, {cell.student}"
        print(f"{title}: time left {in_words(cell.seconds)}", flush=True)
        with report.guarded(3, title):
            report.add(_check(cell, args, title, output))
    if left == args.cells:
        message = f"nothing to run: no cell of the paper has its datasets below {root} and its CLIPs on this machine"
        report.add(Check(3, "cells", SKIPPED, message))


def _check(cell: PublishedCell, args: argparse.Namespace, title: str, output: Path) -> Check:
    failures = run_missing(list(cell.runs), Spec((cell.block,)), args, output)
    if failures:
        return Check(
            3, title, FAIL, f"{len(failures)} of {len(cell.runs)} runs failed; the first is {failures[0].run.name}"
        )
    lines, verdicts = paper_cells.compare(cell.cell, cell.block, cell.runs, paper_cells.setting_of_cell(cell.runs))
    values = "; ".join(f"{line[0]}: {line[1]:.2f} % here, published {line[3]} {line[5]} {line[4]}" for line in lines)
    status = FAIL if "outside" in verdicts else PASS if "inside" in verdicts else SKIPPED
    return Check(3, title, status, values, facts={"runs": [run.name for run in cell.runs]})
