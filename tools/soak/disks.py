"""Run commands on disks that are too small, then again with enough space: python -m tools.soak.disks (as root).

Each command writes to a tmpfs too small for its result; it may fail with a clear message, never with a traceback. Then
the disk is enlarged, and the same command must finish with the same bits as on a large disk.
"""

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tabulate import tabulate

from kdpl.guard import guarded, run_command

from .jobs import NEEDED, Job, jobs_in, served_in
from .kills import LONGEST, reference

NAMES = ("CoOp_KDPL", "PromptSRC", "kdpl train", "kdpl train --cache", "kdpl predict", "kdpl export", "data get",
         "download", "sweep")  # fmt: skip
PAGE, TAKEN, LARGE = 2**12, 2**20, 2**28  # bytes: unit of a tmpfs; occupied from the start; size with enough space
SLOW, SIZES_OF_SLOW = 30, 3  # commands that take more seconds than this run on fewer disks
CLEAR = re.compile(r"full|No space left|\d GB are free")
WRONG = re.compile(r"Traceback|this is a bug|Exception in thread|Exception ignored")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 if a result differed or a message was not clear."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.disks", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, default=10, help="number of disk sizes per command (default: 10)")
    parser.add_argument("--only", default="", metavar="NAME", help="only the commands whose name contains this")
    parser.add_argument(
        "--messages", type=Path, default=Path("full_disks.txt"), help="file for all output (default: full_disks.txt)"
    )
    args = parser.parse_args(arguments)
    return guarded(lambda: run(args.sizes, args.only, args.messages))


def run(n_sizes: int, only: str, messages: Path) -> int:
    """Run everything in a temporary folder."""
    with (
        tempfile.TemporaryDirectory(prefix="kdpl-disks-") as folder,
        served_in(Path(folder) / "served") as address,
        open(messages, "w", encoding="utf-8") as kept,
    ):
        place = Path(folder)
        jobs = [job for job in jobs_in(place, address) if job.name in NAMES]
        for job in jobs:
            if only in job.name or job.name in NEEDED:
                reference(job, place / "reference" / job.name)
        rows = []
        for job in (job for job in jobs if only in job.name):
            counts, needed = Counter(), _bytes_of(place / "reference" / job.name)
            for i in range(min(n_sizes, SIZES_OF_SLOW) if job.seconds > SLOW else n_sizes):
                free = int(needed * (i + 0.5) / n_sizes) // PAGE * PAGE
                output = one_disk(job, place / "disk", free, counts)
                kept.write(f"## {job.name}, {free:,} of {needed:,} bytes\n{output}\n\n")
                kept.flush()
            rows.append((job.name, needed, *(counts[column] for column in COLUMNS)))
            print(rows[-1], flush=True)
    print(tabulate(rows, headers=("command", "bytes", *COLUMNS)))
    print(f"All output: {messages}")
    return int(any(counts for row in rows for counts in row[-3:]))


COLUMNS = ("disks", "full", "clear message", "same result with space", "unclear", "traceback", "different")


def one_disk(job: Job, disk: Path, free: int, counts: Counter) -> str:
    """Run a command on a disk with ``free`` bytes, and again with enough space; returns a summary of the output."""
    counts["disks"] += 1
    with mounted(disk, free):
        code, output = _run(job, disk / "out")
        if not job.is_right(disk / "out", code):
            counts["full"] += 1
            counts["traceback" if WRONG.search(output) else "clear message" if CLEAR.search(output) else "unclear"] += 1
        subprocess.run(["mount", "-o", f"remount,size={LARGE}", disk], check=True)
        code, again = _run(job, disk / "out")
        right = job.is_right(disk / "out", code)
        counts["same result with space" if right else "different"] += 1
        return f"{_errors(output)}\n   then: exit code {code}, {'same result' if right else 'DIFFERENT: ' + again}"


def _run(job: Job, folder: Path) -> tuple[int | None, str]:
    try:
        process = job.start(folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        output, _ = process.communicate(timeout=LONGEST)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        process.kill()
        return None, "It did not finish."


def _errors(output: str) -> str:
    """The output from the first error on."""
    start = output.find("error")
    return output[start if start >= 0 else -1500 :][:1500].rstrip()


@contextmanager
def mounted(disk: Path, free: int) -> Iterator[None]:
    """Mount a tmpfs with ``free`` bytes for the duration of the block."""
    disk.mkdir(exist_ok=True)
    size = f"size={TAKEN + free}"
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"Cannot mount a tmpfs at {disk} ({error}). Run this as root, on Linux.") from error
    try:
        (disk / "taken").write_bytes(bytes(TAKEN))
        yield
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    run_command(main)
