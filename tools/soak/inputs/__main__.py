"""Run every command on bad inputs, and print how it handled them.

Each input runs in a separate process with limits on time and memory. All output is saved to the file of --messages.
"""

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tabulate import tabulate

from kdpl.guard import guarded, run_command

from .case import TRAIN, Case
from .run import MOST_SHOWN, VERDICTS, Answer, answer, judge, run

TABLES = ("settings", "configurations", "photos", "labels", "runs", "prompts", "commands", "sweeps", "data", "outputs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 if an input is handled badly."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.inputs", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", default="", metavar="TEXT", help="only inputs whose table and name contain this")
    add("--messages", type=Path, default=Path("bad_inputs.txt"), help="file for all output (default: bad_inputs.txt)")
    add("--every", type=int, default=1, metavar="N", help="run only every Nth input")
    add("--forked", action="store_true", help="import everything once and fork: faster, and nearly equivalent")
    args = parser.parse_args(arguments)
    return guarded(lambda: judge_all(chosen(args.only)[:: max(1, args.every)], args.messages, args.forked))


def chosen(text: str) -> list[tuple[str, Case]]:
    """The cases whose "table: name" contains a text, each with its table."""
    cases = [(table, case) for table in TABLES for case in import_module(f".{table}", __package__).CASES]
    found = [(table, case) for table, case in cases if text in f"{table}: {case.name}"]
    if not found:
        raise ValueError(f"No input matches {text!r}; names start with one of {', '.join(TABLES)} and a colon.")
    return found


def judge_all(cases: Sequence[tuple[str, Case]], messages: Path, forked: bool) -> int:
    """Run and judge all cases, and print a table of the verdicts."""
    counts: dict[str, Counter] = {table: Counter() for table, _ in cases}
    worst: dict[str, tuple[float, str]] = {}
    with tempfile.TemporaryDirectory(prefix="kdpl-inputs-") as place, open(messages, "w", encoding="utf-8") as kept:
        good = Path(place, "good")
        ordinary = make_good(good)
        if forked:
            import_everything()
        for n, (table, case) in enumerate(cases):
            here = Path(place, str(n))
            found = run(case, here, good, forked)
            shutil.rmtree(here, ignore_errors=True)
            verdict = judge(case, found, ordinary.memory)
            counts[table][verdict] += 1
            for what, value in (("seconds", found.seconds), ("bytes", found.memory)):
                worst[what] = max(worst.get(what, (0.0, "")), (value, f"{table}: {case.name}"))
            kept.write(shown(table, case, verdict, found, (place, good)))
            kept.flush()
            if verdict != "good":
                print(f"{verdict}: {table}: {case.name}", flush=True)
    rows = [(table, sum(count.values()), *(count[verdict] for verdict in VERDICTS)) for table, count in counts.items()]
    rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    print(tabulate(rows, headers=("table", "inputs", *VERDICTS)))
    print(f"A run on good input: {ordinary.seconds:.1f} seconds, {ordinary.memory / 2**20:,.0f} MB.")
    print(f"Slowest: {worst['seconds'][0]:.1f} seconds, {worst['seconds'][1]}")
    print(f"Most memory: {worst['bytes'][0] / 2**20:,.0f} MB, {worst['bytes'][1]}")
    print(f"All output: {messages}")
    return int(rows[-1][1] != rows[-1][-1])


def shown(table: str, case: Case, verdict: str, found: Answer, places: Sequence[str | Path]) -> str:
    """The entry of a case in the file of --messages."""
    text = found.text.replace(str(places[1]), "GOOD").replace(str(places[0]), "PLACE")
    text = text if len(text) < MOST_SHOWN else text[:MOST_SHOWN] + f" ... {len(text):,} characters"
    command = case.command.replace(TRAIN, "TRAIN")
    return (
        f"## {table}: {case.name}\n   {command}\n   {verdict}, exit code {found.code}, {found.seconds:.1f} s, "
        f"{found.memory / 2**20:,.0f} MB\n{text.rstrip()}\n\n"
    )


def make_good(good: Path) -> Answer:
    """Write good photos, class names, and a training run with record and prompts; returns the result of that run."""
    from PIL import Image

    for i in range(8):
        picture = good / "photos" / ("blue_circle", "red_square")[i % 2] / f"{i}.jpg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (20 * i, 40, 250 - 20 * i)).save(picture)
    (good / "names.txt").write_text("red square\nblue circle\n", encoding="utf-8")
    command = TRAIN.replace("$photos", str(good / "photos")).replace("$here/out", str(good / "run"))
    begun = time.monotonic()
    done = answer(f"{command} OPTIM.MAX_EPOCH 2 DATALOADER.NUM_WORKERS 0 DATASET.FOLDER.DIVIDE True".split(), good)
    if done.code:
        raise ValueError(f"Training on good input failed:\n{done.text}")
    shutil.copyfile(good / "run" / "prompts.safetensors", good / "prompts.safetensors")
    return done._replace(seconds=time.monotonic() - begun)


def import_everything() -> None:
    """Import what the commands need, so that forks of this process do not have to."""
    for name in ("train", "kdpl.__main__", "tools.sweep.__main__", "tools.tables.__main__", "tools.data.__main__"):
        import_module(name)
    for name in ("trainers", "datasets", "kdpl.distill", "tools.reproduce", "tools.verify.__main__"):
        import_module(name)


if __name__ == "__main__":
    run_command(main)
