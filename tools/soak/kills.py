"""Kill commands at random moments, run them again until they finish, and compare the results bit for bit."""

import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from .jobs import LAST_LOG, Job

MOST_KILLS = 4  # per round
LONGEST = 600  # seconds that a command may take


def reference(job: Job, folder: Path) -> None:
    """Run a command undisturbed, and keep its result and duration in the job.

    Raises:
        ValueError: if the command fails.
    """
    begun = time.monotonic()
    code = job.start(folder).wait(LONGEST)
    job.seconds = time.monotonic() - begun
    if code != job.code:
        raise ValueError(f"{job.name} fails undisturbed, with exit code {code}: {' '.join(job.command(folder))}")
    job.expected = job.result(folder)
    print(f"{job.name}: {job.seconds:.1f} seconds undisturbed", flush=True)


def one_round(job: Job, folder: Path, generator: random.Random) -> None:
    """Kill a command a few times, let it finish, and compare; keep the folder if the result is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    job.counts["rounds"] += 1
    for _ in range(generator.randint(1, MOST_KILLS)):
        process = job.start(folder)
        try:
            process.wait(generator.uniform(0, 1.1 * job.seconds))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(generator.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)))
            process.wait(LONGEST)
            job.counts["kills"] += 1
    with open(folder / LAST_LOG, "wb") as log:
        process = job.start(folder, stdout=log, stderr=log)
        try:
            verdict = "same" if job.is_right(folder, process.wait(LONGEST)) else "different"
        except subprocess.TimeoutExpired:
            process.kill()
            verdict = "stuck"
    job.counts[verdict] += 1
    if verdict != "same":
        kept = Path(tempfile.mkdtemp(prefix="kdpl-soak-fault-"), job.name)
        shutil.move(folder, kept)
        print(f"{job.name}: {verdict}; its folder is kept as {kept}", flush=True)
