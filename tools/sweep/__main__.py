"""Run what is missing of a sweep: training and evaluation over methods, settings, datasets, shots and seeds.

    python -m tools.sweep configs/sweeps/demo.yaml --dry-run     # what is left to do
    python -m tools.sweep configs/sweeps/demo.yaml               # do it on this machine
    python -m tools.sweep configs/sweeps/paper_base2new.yaml --engine slurm --slurm partition=gpu --slurm time=600

Sweeps can be stopped and restarted at any time, and several can share an output folder: finished runs are left alone,
and interrupted ones resume after their last finished epoch. Runs made with other settings are repeated; their old files
are kept in a hidden folder. `python -m tools.tables` shows the results.

A single experiment needs no file: `python -m tools.sweep base2new shapes 1`; see `python -m tools.sweep base2new -h`.
"""

import argparse
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
from kdpl.names import check_known
from kdpl.planning import duration
from kdpl.ranges import real, whole
from tools.tables.__main__ import main as tables

from . import experiment
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
ALL_AT_ONCE = 100_000  # clusters have queues of their own
SOME_FAILED = 1  # exit code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 if runs failed, and 2 for what the user can fix."""
    arguments = sys.argv[1:] if arguments is None else arguments
    single = arguments and arguments[0] in experiment.EXPERIMENTS
    if not single and len(arguments) > 1 and not any(word.startswith("-") or "." in word for word in arguments[:2]):
        return guarded(lambda: check_known(arguments[0], experiment.EXPERIMENTS, "experiment", "it"))
    args = experiment.parse(arguments) if single else parse(arguments)
    return guarded(lambda: experiment.run(args) if single else sweep(args), "The same command continues.")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spec", help="a file such as those in configs/sweeps")
    parser.add_argument("--dry-run", action="store_true", help="list the runs with their states and times, and stop")
    parser.add_argument("--plan", action="store_true", help="predict time, memory and disk of what is left, and stop")
    parser.add_argument("--tables", action="store_true", help="print the tables of the output folder at the end")
    add_where_and_how(parser)
    return parser.parse_args(arguments)


def add_where_and_how(parser: argparse.ArgumentParser) -> None:
    """The flags for folders and engines."""
    add = parser.add_argument
    add("--root", default="data", help="folder with the datasets (default: data)")
    add("--output", help="folder for the results (default: that of the sweep file, or output)")
    add("--engine", choices=ENGINES, default="local", help="this machine, a Ray cluster, or Slurm (default: local)")
    add("--jobs", type=int, help="runs at once (default: as many as the GPUs or, without any, the CPU cores allow)")
    add("--gpus", type=float, help="GPUs per run, such as 0.5 (default: 1, or 0 if there are none)")
    add("--retries", type=int, default=1, help="how often to retry a run that crashed (default: 1)")
    add("--slurm", action="append", default=[], metavar="KEY=VALUE", help="an option for sbatch, such as partition=gpu")


def sweep(args: argparse.Namespace) -> int:
    """Plan the runs, then run or list them."""
    check_numbers(args)
    root, spec_file = Path(args.root).absolute(), Path(args.spec).absolute()
    output = args.output and Path(args.output).absolute()
    os.chdir(ROOT)  # paths in configurations are relative to it
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
    """Refuse impossible numbers before anything is planned."""
    for flag, value, allowed in (
        ("--jobs", args.jobs, whole(1)),
        ("--gpus", args.gpus, real(0)),
        ("--retries", args.retries, whole(0)),
    ):
        if value is not None:
            allowed.check(flag, value)


def run_missing(runs: Sequence[Run], spec: Spec, args: argparse.Namespace, output: Path) -> list[Failure]:
    """Finish all runs, reporting on stderr; returns those that failed."""
    todo = [run for run in runs if not is_finished(run)]
    print(f"{len(runs)} runs, {len(runs) - len(todo)} already finished; results in {output}", file=sys.stderr)
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
    with TemporaryFile(dir=output):  # fails once, here, if the folder is not writable
        pass
    view = View(len(todo), min(engine.slots, 8))
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the runs end as well
    try:
        failed = drive(todo, engine, is_finished, args.retries, view)
    finally:
        signal.signal(signal.SIGTERM, previous)
        view.close()
    for failure in failed:
        print(f"\nFAILED {failure.run.name}, exit code {failure.code}:\n{failure.end_of_log}", file=sys.stderr)
    failures += failed
    print(f"{len(todo) - len(failed)} runs finished, {len(failures)} failed", file=sys.stderr)
    return failures


def is_finished(run: Run) -> bool:
    return state_of_run(run)[0] == FINISHED


def make_engine(args: argparse.Namespace, spec: Spec, output: Path) -> Engine:
    """The engine that the flags select."""
    check_numbers(args)
    try:
        if args.engine == "ray":
            from .ray_engine import RayEngine

            return RayEngine(args.jobs or ALL_AT_ONCE, spec.threads, args.gpus)
        if args.engine == "slurm":
            from .slurm_engine import SlurmEngine

            options = dict(_key_and_value(text) for text in args.slurm)
            gpus = 1 if args.gpus is None else args.gpus
            return SlurmEngine(args.jobs or ALL_AT_ONCE, spec.threads, gpus, output / ".slurm", options)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--engine {args.engine} needs the package {error.name}: pip install -r requirements-cluster.txt"
        ) from error
    cards, cores = visible_cards() if args.gpus != 0 else [], n_cores()
    if args.gpus and args.gpus > min(1, len(cards)):
        raise ValueError(f"--gpus is {args.gpus:g}, but this machine has {len(cards)}, and a run uses at most one.")
    fitting = len(cards) * int(1 / (args.gpus or 1)) if cards else cores // (spec.threads or cores)
    jobs = args.jobs or max(1, fitting)
    return LocalEngine(jobs, spec.threads or max(1, cores // jobs), cards)


def visible_cards() -> list[str]:
    """The GPUs that may be used on this machine, as CUDA_VISIBLE_DEVICES names them."""
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
    """A table of runs with their states and expected times, and the totals."""
    lines, reasons, counts, left = [], [], Counter(), []
    for run in runs:
        state, why = state_of_run(run)
        counts[state] += 1
        time = ""
        if state != FINISHED:
            left.append(seconds_of_run(run))
            time = in_words(left[-1])
        lines.append([state, time, len(run.parts), run.name, run.claimed_by()])
        reasons += [f"stale: {run.name}\n  {why}"] if why else []
    seconds, n_unknown = total(left)
    text = tabulate(lines, headers=["state", "time", "parts", "run", "being run by"])
    text += "\n\n" + "".join(f"{reason}\n" for reason in reasons)
    text += ", ".join(f"{n} {state}" for state, n in counts.items())
    if n_unknown == len(left) > 0:
        return text + "; time left: unknown until a similar run has finished"
    return text + f"; time left: {in_words(seconds)}" + f" plus {n_unknown} runs of unknown duration" * bool(n_unknown)


def in_words(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(seconds)


if __name__ == "__main__":
    run_command(main)
