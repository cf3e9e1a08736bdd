"""Run what is missing of a sweep: trainings and evaluations of methods, settings, datasets, shots and seeds.

    python -m tools.sweep configs/sweeps/demo.yaml --dry-run     # what there is to do
    python -m tools.sweep configs/sweeps/demo.yaml               # do it, here
    python -m tools.sweep configs/sweeps/paper_base2new.yaml --engine slurm --slurm partition=gpu --slurm time=600

It can be stopped and started at any time, also from several terminals at once: finished runs are left alone, and
interrupted ones resume after their last epoch. Runs made with other settings are repeated; their old files are kept in
a hidden folder. `python -m tools.tables` shows the results.

A single experiment needs no file: `python -m tools.sweep base2new shapes 1`, and `--help` behind base2new tells more.
"""

import argparse
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from tabulate import tabulate

from kdpl.clip.device import n_cores
from kdpl.guard import guarded, run_command
from tools.tables.__main__ import main as tables

from . import experiment
from .claims import claimed_by
from .drive import Engine, Failure, drive
from .estimates import seconds_of_run, total
from .local_engine import ROOT, LocalEngine
from .needs import unmet_needs
from .plan import FINISHED, plan, state_of_run
from .runs import Run
from .spec import Spec, read_spec
from .view import View
from .work import USER_ERROR

ENGINES = ("local", "ray", "slurm")
ALL_AT_ONCE = 100_000  # a cluster has a queue of its own
SOME_FAILED = 1  # exit code


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module; the exit code is 1 if runs failed, and 2 for what the user can repair."""
    arguments = sys.argv[1:] if arguments is None else arguments
    single = arguments and arguments[0] in experiment.EXPERIMENTS
    args = experiment.parse(arguments) if single else parse(arguments)
    return guarded(lambda: experiment.run(args) if single else sweep(args), "The same command continues.")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spec", help="a file such as those in configs/sweeps")
    parser.add_argument("--dry-run", action="store_true", help="list the runs with their states and times, and stop")
    parser.add_argument(
        "--plan", action="store_true", help="predict time, memory and disk of what is missing, and stop"
    )
    parser.add_argument("--tables", action="store_true", help="print the tables of the output folder at the end")
    add_where_and_how(parser)
    return parser.parse_args(arguments)


def add_where_and_how(parser: argparse.ArgumentParser) -> None:
    """The flags about folders and engines."""
    add = parser.add_argument
    add("--root", default="data", help="folder of the datasets (default: data)")
    add("--output", help="folder for the results (default: what the file says, else output)")
    add("--engine", choices=ENGINES, default="local", help="this machine, a Ray cluster, or Slurm (default: local)")
    add("--jobs", type=int, help="runs at once (default: as many as there are cards or, on a CPU, cores for them)")
    add("--gpus", type=float, help="cards per run, such as 0.5 (default: 1, or 0 where there are none)")
    add("--retries", type=int, default=1, help="how often a run that crashed is tried again (default: 1)")
    add("--slurm", action="append", default=[], metavar="KEY=VALUE", help="an option of sbatch, such as partition=gpu")


def sweep(args: argparse.Namespace) -> int:
    """Plan, and run or list."""
    check_numbers(args)
    root, spec_file = Path(args.root).absolute(), Path(args.spec).absolute()
    output = args.output and Path(args.output).absolute()
    os.chdir(ROOT)  # paths in configurations count from there
    spec = read_spec(spec_file)
    output = output or ROOT / spec.output
    runs = plan(spec, root, output)
    if args.plan:
        from .forecast import forecast

        print(forecast(runs))
        return 0
    if args.dry_run:
        print(listing(runs))
        return 0
    if run_missing(runs, spec, args, output):
        return SOME_FAILED
    return tables([str(output)]) if args.tables else 0


def check_numbers(args: argparse.Namespace) -> None:
    """Refuse numbers that no engine can do anything with, before anything is planned.

    Raises:
        ValueError: with the flag and what it takes.
    """
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs is {args.jobs}; at least one run has to work.")
    if args.gpus is not None and not 0 <= args.gpus < math.inf:
        raise ValueError(f"--gpus is {args.gpus}; it is a share of a card, or a number of cards.")
    if args.retries < 0:
        raise ValueError(f"--retries is {args.retries}; it is 0 or more.")


def run_missing(runs: Sequence[Run], spec: Spec, args: argparse.Namespace, output: Path) -> list[Failure]:
    """Bring all runs to their end, and say how that went."""
    todo = [run for run in runs if not is_finished(run)]
    print(f"{len(runs)} runs, {len(runs) - len(todo)} finished before; results in {output}", file=sys.stderr)
    unmet = unmet_needs(todo)
    for problem in dict.fromkeys(unmet.values()):
        names = "".join(f"  {run.name}\n" for run, why in unmet.items() if why == problem)
        print(f"\nFAILED, not started:\n{names}{problem}", file=sys.stderr)
    failures = [Failure(run, USER_ERROR, problem) for run, problem in unmet.items()]
    todo = [run for run in todo if run not in unmet]
    if not todo:
        return failures
    engine = make_engine(args, spec, output)
    output.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=output):  # a folder that cannot be written to is told here, not by each run
        pass
    view = View(len(todo), min(engine.slots, 8))
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that runs are ended, too
    try:
        failed = drive(todo, engine, is_finished, args.retries, view)
    finally:
        signal.signal(signal.SIGTERM, before)
        view.close()
    for failure in failed:
        print(f"\nFAILED {failure.run.name}, exit code {failure.code}:\n{failure.end_of_log}", file=sys.stderr)
    failures += failed
    print(f"{len(todo) - len(failed)} runs finished, {len(failures)} failed", file=sys.stderr)
    return failures


def is_finished(run: Run) -> bool:
    return state_of_run(run)[0] == FINISHED


def make_engine(args: argparse.Namespace, spec: Spec, output: Path) -> Engine:
    """The engine that the flags ask for.

    Raises:
        ValueError: if it is not there, or its numbers are not possible.
    """
    check_numbers(args)
    if args.engine == "ray":
        from .ray_engine import RayEngine

        return RayEngine(args.jobs or ALL_AT_ONCE, spec.threads, args.gpus)
    if args.engine == "slurm":
        from .slurm_engine import SlurmEngine

        options = dict(_key_and_value(text) for text in args.slurm)
        gpus = 1 if args.gpus is None else args.gpus
        return SlurmEngine(args.jobs or ALL_AT_ONCE, spec.threads, gpus, output / ".slurm", options)
    cards, cores = visible_cards(), n_cores()
    if args.gpus == 0:
        cards = []
    if args.gpus and args.gpus > len(cards):
        raise ValueError(f"--gpus is {args.gpus:g}, and this machine has {len(cards)}.")
    if args.gpus and args.gpus > 1:
        raise ValueError(f"--gpus is {args.gpus:g}; a run uses one card at most.")
    fitting = len(cards) * int(1 / (args.gpus or 1)) if cards else cores // (spec.threads or cores)
    jobs = args.jobs or max(1, fitting)
    return LocalEngine(jobs, spec.threads or max(1, cores // jobs), cards)


def visible_cards() -> list[str]:
    """The cards of this machine that may be used, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    n_cards = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:n_cards] if named else [str(i) for i in range(n_cards)]


def _key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"--slurm is {text!r}; it takes KEY=VALUE, such as partition=gpu.")
    return key, value


def listing(runs: Sequence[Run]) -> str:
    """A table of runs with state and expected time, and what that adds up to."""
    lines, reasons, counts = [], [], Counter()
    left = []
    for run in runs:
        state, why = state_of_run(run)
        counts[state] += 1
        seconds = None if state == FINISHED else seconds_of_run(run)
        left += [] if state == FINISHED else [seconds]
        by = claimed_by(run.folder)
        lines.append([state, "" if state == FINISHED else in_words(seconds), len(run.parts), run.name, by])
        reasons += [f"stale: {run.name}\n  {why}"] if why else []
    seconds, n_unknown = total(left)
    text = tabulate(lines, headers=["state", "time", "parts", "run", "worked on by"])
    text += "\n\n" + "".join(f"{reason}\n" for reason in reasons)
    text += ", ".join(f"{n} {state}" for state, n in counts.items())
    if n_unknown == len(left) > 0:
        return text + "; time left: unknown before a run like these is finished"
    return text + f"; time left: {in_words(seconds)}" + f" and {n_unknown} runs of unknown time" * bool(n_unknown)


def in_words(seconds: float | None) -> str:
    """A duration such as 1 h 05 min."""
    if seconds is None:
        return "unknown"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


if __name__ == "__main__":
    run_command(main)
