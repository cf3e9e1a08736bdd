"""Run commands on disks of growing size that fill up, and again with room: python -m tools.soak.disks (as root).

Each command writes into a disk in memory, too small for its result; it may end in one sentence that tells so, never in
a traceback. Then the disk grows, and the same command has to end with the bits that it has on a large one.
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
PAGE, TAKEN, LARGE = 2**12, 2**20, 2**28  # bytes: by which a disk in memory grows, taken from the start, with room
SLOW, SIZES_OF_SLOW = 30, 3  # seconds of a command for which fewer sizes will do
TOLD = re.compile(r"full|No space left|\d GB are free")
WRONG = re.compile(r"Traceback|this is a bug|Exception in thread|Exception ignored")


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module; the exit code is 1 if something was lost, or not told."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.disks", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, default=10, help="of the disk, for each command (default: 10)")
    parser.add_argument("--only", default="", metavar="NAME", help="only the commands whose name contains this")
    parser.add_argument("--messages", type=Path, default=Path("full_disks.txt"), help="file of all that was said")
    args = parser.parse_args(arguments)
    return guarded(lambda: run(args.sizes, args.only, args.messages))


def run(n_sizes: int, only: str, messages: Path) -> int:
    """All of it, in a temporary folder."""
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
                said = one_disk(job, place / "disk", free, counts)
                kept.write(f"## {job.name}, {free:,} bytes for {needed:,}\n{said}\n\n")
                kept.flush()
            rows.append((job.name, needed, *(counts[column] for column in COLUMNS)))
            print(rows[-1], flush=True)
    print(tabulate(rows, headers=("command", "bytes", *COLUMNS)))
    print(f"All that was said: {messages}")
    return int(any(counts for row in rows for counts in row[-3:]))


COLUMNS = ("disks", "full", "told in a sentence", "same bits with room", "unclear", "traceback", "different")


def one_disk(job: Job, disk: Path, free: int, counts: Counter) -> str:
    """Run a command on a disk with so many free bytes, and again with room; gives what it said the first time."""
    counts["disks"] += 1
    with mounted(disk, free):
        code, said = _run(job, disk / "out")
        if not job.is_right(disk / "out", code):
            counts["full"] += 1
            good = TOLD.search(said) and not WRONG.search(said)
            counts["told in a sentence" if good else "traceback" if WRONG.search(said) else "unclear"] += 1
        subprocess.run(["mount", "-o", f"remount,size={LARGE}", disk], check=True)
        code, again = _run(job, disk / "out")
        right = job.is_right(disk / "out", code)
        counts["same bits with room" if right else "different"] += 1
        return f"{_errors(said)}\n   then: exit code {code}, {'the same bits' if right else 'OTHER BITS: ' + again}"


def _run(job: Job, folder: Path) -> tuple[int | None, str]:
    try:
        process = job.start(folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        said, _ = process.communicate(timeout=LONGEST)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        process.kill()
        return None, "It did not end."


def _errors(said: str) -> str:
    """What was said from the first error on."""
    start = said.find("error")
    return said[start if start >= 0 else -1500 :][:1500].rstrip()


@contextmanager
def mounted(disk: Path, free: int) -> Iterator[None]:
    """A disk in memory with so many free bytes while the block lasts."""
    disk.mkdir(exist_ok=True)
    size = f"size={TAKEN + free}"
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(
            f"A disk in memory cannot be mounted at {disk} ({error}). Run this as root, on Linux."
        ) from error
    try:
        (disk / "taken").write_bytes(bytes(TAKEN))
        yield
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    run_command(main)
