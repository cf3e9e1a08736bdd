"""One experiment: a protocol with one dataset, method and seed, compared with the zero-shot student and teacher.

    python -m tools.sweep base2new shapes 1
    python -m tools.sweep cross_dataset imagenet 1 CoOp_KDPL vit_b32_ctxv1 --targets caltech101 dtd --root /data

Runs what is missing, one run after the other in this process, and prints the table. `zeroshot` trains nothing.
"""

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from kdpl.clip.loading import fetch_clip
from kdpl.distillation.teacher import clips_of_teacher
from tools.tables.__main__ import main as tables

from .base2new_table import table
from .choice import DEMO_STUDENT, Choice, choose
from .drive import SECONDS_TO_WAIT_FOR_OTHERS
from .local_engine import ROOT
from .needs import unmet_needs
from .plan import cfg_of, plan
from .protocols import FROM_A_SOURCE, PROTOCOLS, datasets_of, shots_of
from .runs import Run
from .spec import Block, Spec
from .work import do

EXPERIMENTS = (*PROTOCOLS, "zeroshot")
COMPARED = ("zeroshot_student", "zeroshot_teacher")
SHOWN = ("epoch", "Resuming", "Zero-shot", "On validation", "Warning")  # starts of lines; log.txt has all of them


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("protocol", choices=EXPERIMENTS)
    add("dataset", help="a file in configs/datasets, such as dtd, to train on")
    add("seed", type=int)
    add("trainer", nargs="?", default="CoOp_KDPL", help="such as MaPLe_KDPL, or MaPLe for labels (default: CoOp_KDPL)")
    add("cfg", nargs="?", help="a file in configs/trainers/<trainer> (default: the student's)")
    add("--root", default="data", help="folder with the datasets (default: data)")
    add("--output", default="output", help="folder for the results (default: output)")
    add("--student", help="a CLIP (default: ViT-B/32, or the demo's student for drawn datasets)")
    add("--teacher", help="a CLIP, or several separated by commas (default: ViT-L/14, or the demo's teacher)")
    add("--shots", type=int, nargs="+", help="images per class (default: 16; 1 2 4 8 16 for few_shot)")
    add("--epochs", help="epochs to train (default: those of the configuration)")
    add("--class-agnostic", action="store_true", help="train without the class names (KDPL-CA)")
    add("--targets", nargs="+", default=(), help="datasets to test on (default: those of the protocol)")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> int:
    """Run what is missing and print the table; returns the first nonzero exit code of train.py."""
    root, output = Path(args.root).absolute(), Path(args.output).absolute()
    os.chdir(ROOT)  # paths in configurations are relative to it
    with contextlib.redirect_stdout(io.StringIO()):  # notes about precision, which each run prints as well
        block = block_of(args)
        runs = plan(Spec((block,)), root, output, zeroshot_shots=block.shots[-1])
    if DEMO_STUDENT in block.students:
        torch.set_num_threads(1)  # as in the demo's sweeps: more are no faster for CLIPs this small
    if code := run_here(runs):
        return code
    if args.protocol == "base2new":
        print(table([(title_of(run), *(part.folder for part in run.parts if not part.trains)) for run in runs]))
        return 0
    return tables([str(output / "all_classes"), "--format", "terminal"])


def block_of(args: argparse.Namespace) -> Block:
    """The experiment as a block of a sweep file."""
    protocol = "few_shot" if args.protocol == "zeroshot" else args.protocol
    shots = tuple(args.shots or ((16,) if args.protocol == "zeroshot" else shots_of(protocol)))
    if len(shots) > 1 and protocol != "few_shot":
        raise ValueError(f"{protocol} takes a single number of shots; few_shot takes several.")
    transfers = protocol in FROM_A_SOURCE
    targets = tuple(args.targets) or (datasets_of(protocol, args.dataset) if transfers else ())
    chosen = chosen_with_weights(args, transfers)
    method = args.trainer.removesuffix("_KDPL")
    trained = "labels" if method == args.trainer else "kdpl_ca" if args.class_agnostic else "kdpl"
    return Block(
        protocol=protocol,
        datasets=targets if transfers else (args.dataset,),
        source=args.dataset if transfers else "",
        students={chosen.student: (method,)},
        settings=COMPARED if args.protocol == "zeroshot" else (*COMPARED, trained),
        seeds=(args.seed,),
        shots=shots,
        teacher=chosen.teacher,
        cfgs={method: chosen.cfg},
        epochs={method: int(args.epochs)} if args.epochs else {},
    )


def chosen_with_weights(args: argparse.Namespace, transfers: bool) -> Choice:
    """Choose what to train and fetch its weights; the demo pair if they cannot be fetched and no CLIP was named.

    Raises:
        ConnectionError: if a CLIP was named, and weights are neither on this machine nor can be fetched.
    """
    given = {"cfg": args.cfg, "student": args.student, "teacher": args.teacher}
    variant = {"class_agnostic": args.class_agnostic, "epochs": args.epochs, "transfers": transfers}
    chosen = choose(args.dataset, args.trainer, **given, **variant)
    try:
        for name in (chosen.student, *clips_of_teacher(chosen.teacher)):
            fetch_clip(name)
    except ConnectionError as error:
        if any(given.values()):
            raise
        print(
            f"CLIP's weights are not on this machine and cannot be fetched.\n{error}\n"
            "Continuing with the demo pair instead, so that you see everything work. If you name a model with "
            "BACKBONE, TEACHER or CFG, a missing one is an error.",
            file=sys.stderr,
        )
        chosen = choose(args.dataset, args.trainer, student=DEMO_STUDENT, **variant)
    return chosen


def title_of(run: Run) -> str:
    """The title of a run in the table."""
    cfg, _ = cfg_of(run.parts[0].arguments)
    if not run.parts[0].trains:
        return f"zero-shot {cfg.MODEL.BACKBONE.NAME}"
    return f"{cfg.TRAINER.NAME} ({run.folder.parent.name}, seed {cfg.SEED})"


def run_here(runs: Sequence[Run]) -> int:
    """Finish runs one after the other in this process; returns the first nonzero exit code of train.py."""
    for problem in unmet_needs(runs).values():
        raise ValueError(problem)
    with contextlib.redirect_stdout(Progress()):
        return next((code for code in map(do_once_free, runs) if code), 0)


def do_once_free(run: Run) -> int:
    """Do a run, after waiting for any other process that is working on it."""
    announced = False
    while True:
        with run.claim() as ours:
            if ours:
                return do(run)
        if not announced:
            print(f"{run.name}: waiting for {run.claimed_by() or 'another process'}", file=sys.stderr)
        announced = True
        time.sleep(SECONDS_TO_WAIT_FOR_OTHERS)


class Progress(io.StringIO):
    """Standard output that passes on only the lines about progress."""

    line = ""

    def write(self, text: str) -> int:
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            if line.startswith(SHOWN):
                print(line, file=sys.stderr, flush=True)
        return len(text)

    def close(self) -> None:
        """Stay open: stock Dassl's logger closes what it writes to, and the next run needs it."""
