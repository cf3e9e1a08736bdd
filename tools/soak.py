"""Kill commands and feed readers at random, and print a table of what came of it. Usage: bash scripts/soak.sh [SECONDS]

Each command runs once undisturbed; then again and again with kills at random moments, each time followed by the same
command, until it ends: its result must have the same bits. Between the kills, files are damaged at random and read: the
answer is a value or one error of ours, never another exception.
"""

import argparse
import http.server
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image
from tabulate import tabulate

from kdpl.fingerprints import sha256_of, tensors_fingerprint
from kdpl.guard import guarded, run_command
from kdpl.methods import METHODS
from kdpl.outside import csv_rows, parse_json, read_text, read_yaml
from kdpl.prompts.inert_files import read_checkpoint
from kdpl.prompts.prompt_file import read_prompt_file
from kdpl.run_record import read_record

ROOT = Path(__file__).parents[1]
MOST_KILLS = 4  # of one round, so that it ends
LONGEST = 600  # seconds of a command
DOWNLOAD = (
    "import sys; from pathlib import Path; from kdpl.downloads import RemoteFile, download;"
    "download(RemoteFile('file', (sys.argv[1],), sys.argv[2]), Path(sys.argv[3]))"
)


@dataclass
class Job:
    """A command line of Python, and what tells whether its result is the same."""

    name: str
    command: Callable[[Path], list[str]]  # from the folder that it writes into
    result: Callable[[Path], str]
    expected: str = ""
    seconds: float = 0.0
    counts: Counter = field(default_factory=Counter)


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module; the exit code is 1 if anything was lost, or an error was not ours."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long (default: an hour)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    return guarded(lambda: soak(args.seconds, random.Random(args.seed)))


def soak(seconds: float, generator: random.Random) -> int:
    """All of it, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="kdpl-soak-") as folder, serving(Path(folder) / "served") as address:
        place = Path(folder)
        jobs, found = jobs_in(place, address), Counter()
        for job in jobs:
            reference(job, place / "reference" / job.name)
        originals, end = originals_in(place), time.monotonic() + seconds
        while time.monotonic() < end:
            one_round(generator.choice(jobs), place / "round", generator)
            for name in originals:
                feed(name, originals[name], place / name, found, generator)
        columns = ("rounds", "kills", "same", "different", "stuck")
        table = [(job.name, *(job.counts[column] for column in columns)) for job in jobs]
        print(tabulate(table, headers=("command", *columns)))
        rows = [(name, found[name, "read"], found[name, "refused"], found[name, "other"]) for name in originals]
        print("\n" + tabulate(rows, headers=("damaged files", "read", "refused", "other errors")))
        lost = sum(job.counts["different"] + job.counts["stuck"] for job in jobs)
        return int(lost + sum(row[-1] for row in rows) > 0)


def jobs_in(place: Path, address: str) -> list[Job]:
    """A training of every method, the library's, classifying, a sweep and a download."""
    photos, dataset = place / "photos", place / "folder.yaml"
    for i in range(24):
        picture = photos / ("red" if i % 2 else "blue") / f"{i}.jpg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (9 * i, 40, 250 - 9 * i)).save(picture)
    dataset.write_text('DATASET:\n  NAME: "Folder"\n', encoding="utf-8")
    (place / "names.txt").write_text("red square\nblue circle\n", encoding="utf-8")

    def train(trainer: str, out: Path) -> list[str]:
        return [
            "train.py", "--root", str(photos), "--seed", "1", "--trainer", trainer, "--output-dir", str(out),
            "--dataset-config-file", str(dataset), "--config-file", f"configs/trainers/{trainer}/demo.yaml",
            "DATALOADER.NUM_WORKERS", "0", "DATALOADER.TRAIN_X.BATCH_SIZE", "4", "OPTIM.MAX_EPOCH", "6",
            "TEST.NO_TEST", "True",
        ]  # fmt: skip

    demo = ["--student", "demo:student", "--teacher", "demo:teacher", "--classnames", str(place / "names.txt")]
    served = f"sha256:{sha256_of(place / 'served' / 'file')}"
    learned = place / "reference" / "kdpl train" / "prompts.safetensors"
    jobs = [Job(name, partial(train, name), prompts_of) for m in METHODS for name in (m, f"{m}_KDPL")]
    jobs += [
        Job("kdpl train", lambda out: ["-m", "kdpl", "train", str(photos), *demo, "--epochs", "6", "--output",
            str(out / "prompts.safetensors")], prompts_of),
        Job("kdpl predict", lambda out: ["-m", "kdpl", "predict", str(learned), str(photos), "--batch-size", "2",
            "--output", str(out / "table.csv")], lambda out: sha256_of(out / "table.csv")),
        Job("sweep", lambda out: ["-m", "tools.sweep", "base2new", "shapes", "1", "--epochs", "1", "--root",
            str(place / "data"), "--output", str(out)], sweep_of),
        Job("download", lambda out: ["-c", DOWNLOAD, f"{address}/file", served, str(out / "file")],
            lambda out: sha256_of(out / "file")),
    ]  # fmt: skip
    return jobs


def prompts_of(folder: Path) -> str:
    return tensors_fingerprint(read_prompt_file(folder / "prompts.safetensors")[0])


def sweep_of(folder: Path) -> str:
    return " ".join(read_record(file).prompts_sha256 or "" for file in sorted(folder.rglob("results.json")))


def serving(folder: Path) -> "Server":
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(random.Random(0).randbytes(2**25))
    return Server(folder)


class Server:
    """A server of one folder on this machine, while the block lasts; gives its address."""

    def __init__(self, folder: Path):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args): ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *error) -> None:
        self.server.shutdown()


def start(job: Job, folder: Path) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *job.command(folder)], cwd=ROOT, env=environment, **quiet)


def reference(job: Job, folder: Path) -> None:
    """Run a command undisturbed.

    Raises:
        ValueError: if that fails by itself.
    """
    begun = time.monotonic()
    code = start(job, folder).wait(LONGEST)
    job.seconds = time.monotonic() - begun
    if code:
        raise ValueError(f"{job.name} ends with {code} undisturbed: {' '.join(job.command(folder))}")
    job.expected = job.result(folder)
    print(f"{job.name}: {job.seconds:.1f} seconds undisturbed", flush=True)


def one_round(job: Job, folder: Path, generator: random.Random) -> None:
    """Kill a command a few times, let it end, and compare."""
    shutil.rmtree(folder, ignore_errors=True)
    job.counts["rounds"] += 1
    code = None
    for _ in range(generator.randint(1, MOST_KILLS)):
        process = start(job, folder)
        try:
            code = process.wait(generator.uniform(0, 1.1 * job.seconds))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(generator.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)))
            process.wait(LONGEST)
            job.counts["kills"] += 1
    try:
        code = start(job, folder).wait(LONGEST)
        job.counts["same" if code == 0 and job.result(folder) == job.expected else "different"] += 1
    except subprocess.TimeoutExpired:
        job.counts["stuck"] += 1
    except (ValueError, OSError):
        job.counts["different"] += 1


def originals_in(place: Path) -> dict[str, tuple[bytes, Callable[[Path], object]]]:
    """Files as they should be, each with its reader."""
    run = place / "reference" / "CoOp_KDPL"
    csv = "path,label\nred/1.jpg,red\nblue/0.jpg,blue\n"
    return {
        "damaged.pth": (next(run.rglob("model.pth.tar-*")).read_bytes(), read_checkpoint),
        "damaged.safetensors": ((run / "prompts.safetensors").read_bytes(), read_prompt_file),
        "damaged.yaml": ((ROOT / "configs/trainers/CoOp_KDPL/demo.yaml").read_bytes(), read_yaml),
        "damaged.csv": (csv.encode(), lambda file: list(csv_rows(read_text(file), file))),
        "damaged.json": ((run / "results.json").read_bytes(), lambda file: parse_json(read_text(file), file)),
        "results.json": ((run / "results.json").read_bytes(), read_record),
    }


def feed(name: str, original: tuple, file: Path, found: Counter, generator: random.Random) -> None:
    """Damage a file in a hundred ways and read each."""
    whole, read = original
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 8)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        file.write_bytes(content[: generator.randint(1, len(content))] if generator.random() < 0.3 else content)
        try:
            read(file)
            found[name, "read"] += 1
        except (ValueError, FileNotFoundError):
            found[name, "refused"] += 1
        except Exception as error:
            found[name, "other"] += 1
            kept = Path(tempfile.mkdtemp(prefix="kdpl-soak-fault-")) / name
            shutil.copy(file, kept)
            print(f"{type(error).__name__}: {error}; the file is kept as {kept}", flush=True)


if __name__ == "__main__":
    run_command(main)
