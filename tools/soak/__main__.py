"""Kill commands and damage files at random, and print a table of the results. Usage: bash scripts/soak.sh [SECONDS]

Each command first runs undisturbed. Then it is killed at random moments and run again until it finishes, over and over;
the result must be bit-identical each time. In between, randomly damaged files are read: that must give a value or a
ValueError that names the file, never another exception.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tabulate import tabulate

from kdpl.guard import guarded, run_command

from .damage import feed, originals_in
from .jobs import NEEDED, Job, jobs_in, served_in
from .kills import one_round, reference


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 if a result differed, a command hung or an unexpected exception occurred."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="maximum duration (default: one hour)")
    parser.add_argument("--kills", type=int, default=10**9, help="maximum number of kills (default: no limit)")
    parser.add_argument("--only", default="", metavar="NAME", help="only the commands whose name contains this")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    return guarded(lambda: soak(args.seconds, args.kills, args.only, random.Random(args.seed)))


def soak(seconds: float, max_kills: int, only: str, generator: random.Random) -> int:
    """Run everything in a temporary folder; Ctrl-C stops it and prints the table so far."""
    with tempfile.TemporaryDirectory(prefix="kdpl-soak-") as folder, served_in(Path(folder) / "served") as address:
        place = Path(folder)
        jobs, found = jobs_in(place, address), Counter()
        needed = [job for job in jobs if only in job.name or job.name in NEEDED]
        for job in needed:
            reference(job, place / "reference" / job.name)
        originals = originals_in(place)
        killed = [job for job in needed if only in job.name]
        end = time.monotonic() + seconds
        with suppress(KeyboardInterrupt):
            while time.monotonic() < end and sum(job.counts["kills"] for job in killed) < max_kills:
                one_round(min(killed, key=effort), place / "round", generator)
                for name in originals:
                    feed(name, originals[name], place / name, found, generator)
        columns = ("rounds", "kills", "same", "different", "stuck")
        table = [(job.name, *(job.counts[column] for column in columns)) for job in killed]
        table.append(("all", *(sum(job.counts[column] for job in killed) for column in columns)))
        print(tabulate(table, headers=("command", *columns)))
        rows = [(name, found[name, "read"], found[name, "refused"], found[name, "other"]) for name in originals]
        print("\n" + tabulate(rows, headers=("damaged files", "read", "refused", "other errors")))
        return int(sum(table[-1][-2:]) + sum(row[-1] for row in rows) > 0)


def effort(job: Job) -> float:
    """Measure of the time spent on a job so far; the square root gives slow jobs fewer kills, but not too few."""
    return job.counts["kills"] * job.seconds**0.5


if __name__ == "__main__":
    run_command(main)
