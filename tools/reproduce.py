"""Reproduce one published number: run what is still missing for it, and compare.

    python -m tools.reproduce "domain_generalization CoOp_KDPL imagenet_a"
    python -m tools.reproduce "base2new MaPLe_KDPL-CA dtd" --student ViT-B/32 --engine slurm --slurm partition=gpu
    python -m tools.reproduce "cross_dataset CLIP average"
    python -m tools.reproduce --list                            # every cell that has a published value, cheapest first

A cell is named by a table, a method and a dataset. Tables: base2new, cross_dataset, domain_generalization, few_shot
(which has no published numbers). Methods: CoOp, CoCoOp, VPT, MaPLe, PromptSRC, also followed by _KDPL or _KDPL-CA; CLIP
is the zero-shot student, teacher the zero-shot teacher. Datasets are named as in configs/datasets; `average` is the
table's average. Settings are those of the table's file in configs/sweeps.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dassl.data.datasets import DATASET_REGISTRY
from tabulate import tabulate

from kdpl.clip.templates import GENERIC, template_of
from kdpl.guard import guarded, run_command
from kdpl.run_record import FILE_NAME, RunRecord, read_record
from tools.paper_cells import SPECS, compare, narrowed, parse_cell, setting_of_cell
from tools.sweep.__main__ import SOME_FAILED, add_where_and_how, check_numbers, listing, run_missing
from tools.sweep.local_engine import ROOT
from tools.sweep.plan import cfg_of, plan
from tools.sweep.runs import Part, Run
from tools.sweep.spec import read_spec
from tools.tables.published import PAPER_TEACHER
from tools.tables.records import Setting
from tools.verify.cells import listing_of_cells, published_cells
from trainers.kdpl.configuration import build_cfg


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 if a run failed or a number is outside its band."""
    args = parse(arguments)
    root, output = Path(args.root).absolute(), Path(args.output or "output").absolute()
    os.chdir(ROOT)
    return guarded(lambda: reproduce(args, root, output), "The same command continues.")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cell", nargs="?", help='"<table> <method> <dataset>"')
    parser.add_argument("--list", action="store_true", help="list all cells with a published value, cheapest first")
    parser.add_argument("--student", help="a CLIP (default: the first in the table's file that has the method)")
    parser.add_argument("--spec", help="sweep file of the table (default: configs/sweeps/paper_<table>.yaml)")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and the published value, and stop")
    add_where_and_how(parser)
    return parser.parse_args(arguments)


def reproduce(args: argparse.Namespace, root: Path, output: Path) -> int:
    """Run what is missing and print the comparison; the published value is printed even if a run failed."""
    check_numbers(args)
    if args.list:
        print(listing_of_cells(published_cells(root, output)))
        return 0
    if not args.cell:
        raise ValueError('Name a cell as "<table> <method> <dataset>"; --list shows those with a published value.')
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
        print("\nThe runs compared with the published protocol:\n" + protocol_record(runs, setting))
    return SOME_FAILED if failures or "outside" in verdicts else 0


def protocol_record(runs: Sequence[Run], setting: Setting) -> str:
    """A table of what the runs did and what was published, for all that could change numbers; differences first."""
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
    """The configuration file of a part, without any changes."""
    args = cfg_of(part.arguments)[1]
    return build_cfg([args.dataset_config_file, args.config_file], {})


def precision(asked: str, record: RunRecord) -> str:
    """The precision in which a run computed: on a CPU, fp16, amp and auto become fp32."""
    return "fp32" if record.device.startswith("cpu") and asked in ("fp16", "amp", "auto") else asked


def _rate_and_batch(cfg: Any) -> str:
    return f"{cfg.OPTIM.LR}, {cfg.DATALOADER.TRAIN_X.BATCH_SIZE}"


if __name__ == "__main__":
    run_command(main)
