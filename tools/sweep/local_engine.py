"""Runs as processes on this machine, one or several per GPU."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .runs import Run
from .work import WITH_PARENT

ROOT = Path(__file__).parents[2]
WORK = (sys.executable, "-m", "tools.sweep.work")  # followed by a run
SECONDS_TO_END = 10


class LocalEngine:
    """At most ``slots`` processes at once; each slot keeps its GPU."""

    pause = 0.1

    def __init__(self, slots: int, threads: int, cards: Sequence[str] = (), work: Sequence[str] = WORK):
        """
        Args:
            threads: CPU threads per run.
            cards: GPUs as CUDA_VISIBLE_DEVICES names them, assigned to slots in turn. Without any, runs see no GPU.
            work: the command that executes a run.
        """
        self.slots, self.threads, self.cards, self.work = slots, threads, cards, work
        self.busy: set[int] = set()

    def start(self, run: Run) -> "LocalProcess":
        slot = min(set(range(self.slots)) - self.busy)
        self.busy.add(slot)
        card = self.cards[slot % len(self.cards)] if self.cards else ""
        environment = {"OMP_NUM_THREADS": str(self.threads), "CUDA_VISIBLE_DEVICES": card}
        command = [*self.work, WITH_PARENT, run.to_json()]
        return LocalProcess(command, environment, on_end=lambda: self.busy.discard(slot))

    def close(self) -> None:
        """Nothing is left running."""


class LocalProcess:
    """A process that ends when this one does, however that happens."""

    OUT_OF_MEMORY = ", which the system sends when memory runs out: try fewer --jobs"

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], on_end: Callable[[], None]):
        self.said, self.on_end = "", on_end
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,  # closed by the system when this process ends; see work.py
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches only the sweep, which then ends its runs
        )

    def poll(self) -> int | None:
        code = self.process.poll()
        if code is not None:
            self._end()
        return code

    def stop(self) -> None:
        """Let it end as if killed; kill it if that takes too long."""
        self.process.stdin.close()
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._end()

    def _end(self) -> None:
        self.said = self.process.stderr.read().decode(errors="replace")
        if (number := -self.process.returncode) > 0:
            memory = self.OUT_OF_MEMORY * (number == signal.SIGKILL)
            self.said += f"\nThe process was ended by signal {number}, {signal.strsignal(number)}{memory}.\n"
        self.process.stderr.close()
        self.process.stdin.close()
        self.on_end()
