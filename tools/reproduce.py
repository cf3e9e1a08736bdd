"""One published number: run what is missing for it, and compare.

    python -m tools.reproduce "domain_generalization CoOp_KDPL imagenet_a"
    python -m tools.reproduce "base2new MaPLe_KDPL-CA dtd" --student ViT-B/32 --engine slurm --slurm partition=gpu
    python -m tools.reproduce "cross_dataset CLIP average"
    python -m tools.reproduce --list                            # every cell that has a published value, cheapest first

The cell's name is a table, a method and a data set. Tables: base2new, cross_dataset, domain_generalization, few_shot
(which has no published numbers). Methods: CoOp, CoCoOp, VPT, MaPLe, PromptSRC, with _KDPL or _KDPL-CA behind; CLIP is
the zero-shot student, teacher the zero-shot teacher. Data sets are named as in configs/datasets; `average` is the
table's average. The settings are those of the table's file in configs/sweeps.
"""

import argparse
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dassl.data.datasets import DATASET_REGISTRY
from tabulate import tabulate

from kdpl.clip.templates import GENERIC, template_of
from kdpl.guard import guarded, run_command
from kdpl.names import did_you_mean
from kdpl.run_record import FILE_NAME, RunRecord, Visible, read_record
from tools.sweep.__main__ import SOME_FAILED, add_where_and_how, is_finished, listing, run_missing
from tools.sweep.local_engine import ROOT
from tools.sweep.plan import cfg_of, plan
from tools.sweep.runs import Part, Run
from tools.sweep.spec import FROM_A_SOURCE, METHODS, PROTOCOLS, Block, Spec, read_spec
from tools.tables.cells import Column, fill
from tools.tables.comparison import Part as TestSet
from tools.tables.comparison import Row
from tools.tables.grid import MISSING, NOT_AVAILABLE
from tools.tables.layouts import BASE_TO_NEW, CROSS_DATASET, DOMAINS, FEW_SHOT, halves, table_of
from tools.tables.protocols import results_of
from tools.tables.published import PAPER_TEACHER, Published
from tools.tables.records import Setting, read_run, setting_of
from trainers.kdpl.config import learns
from trainers.kdpl.configuration import build_cfg
from trainers.kdpl.recorded_trainer import record_of

TABLES = {  # of tools.tables, and the published name of the average
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
    """What is to be reproduced.

    Attributes:
        protocol: of PROTOCOLS.
        method: of METHODS, or of ZEROSHOT.
        setting: as in specs.
        dataset: a file in configs/datasets, or AVERAGE.
    """

    protocol: str
    method: str
    setting: str
    dataset: str


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module; the exit code is 1 if a run failed or a number lies outside its band, 2 for a user's error."""
    args = parse(arguments)
    root, output = Path(args.root).absolute(), Path(args.output or "output").absolute()
    os.chdir(ROOT)
    return guarded(lambda: reproduce(args, root, output), "The same command goes on.")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cell", nargs="?", help='"<table> <method> <dataset>"')
    parser.add_argument(
        "--list", action="store_true", help="list all cells that have a published value, cheapest first"
    )
    parser.add_argument("--student", help="a CLIP (default: the first in the table's file that has the method)")
    parser.add_argument("--spec", help="another file of the table than configs/sweeps/paper_<table>.yaml")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and the published value, and stop")
    add_where_and_how(parser)
    return parser.parse_args(arguments)


def reproduce(args: argparse.Namespace, root: Path, output: Path) -> int:
    """Run what is missing, print the comparison: of what could not be run, the published value alone."""
    if args.list:
        from tools.verify.cells import listing_of_cells, published_cells

        print(listing_of_cells(published_cells(root, output)))
        return 0
    if not args.cell:
        raise ValueError('Name a cell as "<table> <method> <dataset>", or --list those that have a published value.')
    cell = parse_cell(args.cell)
    spec = read_spec(args.spec or SPECS[cell.protocol])
    block = narrowed(spec, cell, args.student)
    spec = replace(spec, blocks=(block,))
    runs = plan(spec, root, output)
    failures = []
    if args.dry_run:
        print(listing(runs) + "\n")
    else:
        failures = run_missing(runs, spec, args, output)
    setting = setting_of_cell(runs)
    lines, verdicts = compare(cell, block, runs, setting)
    print(tabulate(lines, headers=["", "here", "seeds", "published", "band", "verdict", "source"], floatfmt=".2f"))
    if not (failures or args.dry_run) and ("inside" not in verdicts or "outside" in verdicts):
        print("\nWhat the runs were, beside the published protocol:\n" + protocol_record(runs, setting))
    return SOME_FAILED if failures or "outside" in verdicts else 0


def parse_cell(text: str) -> Cell:
    """The cell that a name such as "base2new CoOp_KDPL dtd" stands for.

    Raises:
        ValueError: if it has not three words, or one is unknown; what is possible is listed.
    """
    words = text.split()
    if len(words) != 3:
        raise ValueError(f'The cell is {text!r}; it is "<table> <method> <data set>": base2new CoOp_KDPL dtd.')
    protocol, method, dataset = words
    _one_of(protocol, PROTOCOLS, "table")
    methods = {f"{name}{suffix}": (name, setting) for name in METHODS for suffix, setting in SETTINGS.items()}
    methods |= {name: (name, setting) for name, setting in ZEROSHOT.items()}
    method = method.replace("+", "_")
    _one_of(method, list(methods), "method")
    known = sorted(file.stem for file in Path("configs/datasets").glob("*.yaml"))
    _one_of(dataset, [*known, AVERAGE], "data set")
    if protocol == "few_shot" and dataset == AVERAGE:
        raise ValueError("few_shot has no average; name a data set.")
    return Cell(protocol, *methods[method], dataset)


def _one_of(word: str, known: Sequence[str], kind: str) -> None:
    if word not in known:
        raise ValueError(f"There is no {kind} {word!r}{did_you_mean(word, list(known))}; known are {', '.join(known)}.")


def narrowed(spec: Spec, cell: Cell, student: str | None) -> Block:
    """The block of a table's file that has the cell, with nothing else in it.

    Raises:
        ValueError: if the file has it not.
    """
    candidates = []
    for block in spec.blocks:
        if block.protocol != cell.protocol:
            continue
        for name, methods in block.students.items():
            if cell.method in ZEROSHOT or cell.method in methods:
                methods = methods[:1] if cell.method in ZEROSHOT else (cell.method,)
                candidates.append((name, replace(block, students={name: methods}, settings=(cell.setting,))))
    students = [name for name, _ in candidates]
    student = student or (students[0] if students else "")
    if student not in students:
        found = f"has it for {', '.join(students)}" if students else "has it for no student"
        wanted = student or cell.method
        raise ValueError(f"The table's file {found}, and not {wanted}. Name another --student or --spec.")
    block = candidates[students.index(student)][1]
    tested = [block.source, *block.datasets] if block.source else block.datasets
    if cell.dataset == AVERAGE:
        return block
    if cell.dataset not in tested:
        raise ValueError(f"The table's data sets are {', '.join(tested)}; {cell.dataset} is none of them.")
    return replace(block, datasets=tuple(name for name in (cell.dataset,) if name != block.source))


def setting_of_cell(runs: Sequence[Run]) -> Setting:
    """What the runs of a cell have in common, before there are any records."""
    cfg, _ = cfg_of(runs[0].parts[0].arguments)
    record, kdpl = record_of(cfg), cfg.TRAINER.KDPL
    distilled = record.trainer.endswith("_KDPL")
    if learns(record.trainer):
        classnames = "vocabulary" if distilled and kdpl.CLASS_AGNOSTIC else "dataset"
        record.visible = Visible(labels_used=not distilled, classnames=classnames)
        record.teacher = kdpl.TEACHER if distilled else None
    return setting_of(record)


def compare(cell: Cell, block: Block, runs: Sequence[Run], setting: Setting) -> tuple[list[list[Any]], set[str]]:
    """A line for each number of the cell, from tables of the finished runs; the verdicts."""
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
        table.rows = table.rows or [Row(setting)]  # of nothing but the published value
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
    """The data set's name in records, from its file."""
    return build_cfg([f"configs/datasets/{dataset}.yaml"], {}).DATASET.NAME


def _source(published: Published | None) -> str:
    return f"assets/published/{published.file} line {published.line}: {published.source}" if published else ""


def protocol_record(runs: Sequence[Run], setting: Setting) -> str:
    """What the runs did where a deviation would change numbers, each beside what was published; differences first."""
    lines = []

    def line(what: str, here: Any, published: Any) -> None:
        known = published is not None
        mark = "differs" if known and str(here) != str(published) else ""
        row = [mark, what, here, published if known else "not known"]
        if row not in lines:
            lines.append(row)

    for part in (part for run in runs for part in run.parts):
        record, (cfg, _) = read_record(Path(part.folder) / FILE_NAME), cfg_of(part.arguments)
        name = record.dataset
        dataset = DATASET_REGISTRY.get(name)
        if part.trains:
            file, node = cfg_of_file(part), record.trainer.removesuffix("_KDPL").upper()
            line("epochs", record.epochs, file.OPTIM.MAX_EPOCH)
            line("learning rate, batch", _rate_and_batch(cfg), _rate_and_batch(file))
            line("training images", record.visible.train_images, None)
            line("precision of the student", precision(cfg.TRAINER[node].PREC, record), file.TRAINER[node].PREC)
        else:
            (test,) = record.evaluations
            if record.subsample == "all" and getattr(dataset, "n_images", (0,))[-1]:
                line(f"test images of {name}", test.total, dataset.n_images[-1])
                line(f"classes of {name}", len(test.per_class), dataset.n_classes or None)
            line(f"class list of {name}, {record.subsample}", record.classnames_sha256[:12], None)
        if setting.zero_shot or (part.trains and record.teacher):
            generic = part.trains and cfg.TRAINER.KDPL.CLASS_AGNOSTIC
            template = GENERIC if generic else template_of(name, cfg.DATASET.TEMPLATE)
            known = None if setting.zero_shot else GENERIC if generic else template_of(name)
            line(f"template of {name}", template, known)
        line(f"split of {name}", (record.split_sha256 or "none")[:12], None)
        if record.teacher:
            line("teacher", record.teacher, PAPER_TEACHER)
            line("precision of the teacher", precision(cfg.TRAINER.KDPL.PREC, record), file.TRAINER.KDPL.PREC)
        line("device", record.device, None)
        for package, version in record.versions.items():
            line(f"version of {package}", version, None)
    lines.sort(key=lambda row: not row[0])
    return tabulate(lines, headers=["", "what", "here", "published"], disable_numparse=True)


def cfg_of_file(part: Part) -> Any:
    """The configuration file that a part names, without what was changed in it."""
    args = cfg_of(part.arguments)[1]
    return build_cfg([args.dataset_config_file, args.config_file], {})


def precision(asked: str, record: RunRecord) -> str:
    """What a run computed in: on a CPU half precision becomes fp32."""
    return "fp32" if record.device.startswith("cpu") and asked in ("fp16", "amp") else asked


def _rate_and_batch(cfg: Any) -> str:
    return f"{cfg.OPTIM.LR}, {cfg.DATALOADER.TRAIN_X.BATCH_SIZE}"


if __name__ == "__main__":
    run_command(main)
