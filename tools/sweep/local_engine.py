"""Runs as processes on this machine, one or several per GPU."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryFile

from .runs import Run
from .work import CLAIMED, SERVE

ROOT = Path(__file__).parents[2]
WORK = (sys.executable, "-m", "tools.sweep.work")  # followed by a run or --serve N
SECONDS_TO_END = 10


class LocalEngine:
    """At most ``slots`` processes at once; each keeps its GPU, and does further runs until one fails."""

    pause = 0.1

    def __init__(self, slots: int, threads: int, cards: Sequence[str] = (), work: Sequence[str] = WORK):
        """
        Args:
            threads: CPU threads per run.
            cards: GPUs as CUDA_VISIBLE_DEVICES names them, assigned to slots in turn. Without any, runs see no GPU.
            work: the command that does runs.
        """
        self.slots, self.threads, self.cards, self.work = slots, threads, cards, work
        self.processes: dict[int, LocalProcess] = {}  # by slot

    def start(self, run: Run) -> "LocalProcess":
        slot = next(slot for slot in range(self.slots) if slot not in self.processes or self.processes[slot].is_free)
        if slot not in self.processes or not self.processes[slot].is_ready:
            card = self.cards[slot % len(self.cards)] if self.cards else ""
            environment = {"OMP_NUM_THREADS": str(self.threads), "CUDA_VISIBLE_DEVICES": card}
            self.processes[slot] = LocalProcess([*self.work, SERVE, str(self.slots)], environment)
        self.processes[slot].give(run)
        return self.processes[slot]

    def close(self) -> None:
        for process in self.processes.values():
            process.stop()


class LocalProcess:
    """A process that does one run after the other, and ends when this one does, however that happens.

    Attributes:
        is_free: whether it is idle.
        said: its output outside the logs of runs, once it has ended.
    """

    OUT_OF_MEMORY = ", which the system sends when memory runs out: try fewer --jobs"

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        self.said, self.is_free, self.answers, self.errors = "", True, SimpleQueue(), TemporaryFile()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,  # closed by the system when this process ends; see work.py
            stdout=subprocess.PIPE,
            stderr=self.errors,
            start_new_session=True,  # Ctrl-C reaches only the sweep, which then ends its runs
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with self.process.stdout as answers:
            for line in answers:
                self.answers.put(int(line))

    @property
    def is_ready(self) -> bool:
        """Whether it can do another run."""
        return self.is_free and self.process.poll() is None

    def give(self, run: Run) -> None:
        """Hand it a run."""
        self.is_free = False
        with contextlib.suppress(BrokenPipeError):  # it has ended, which poll() will report
            self.process.stdin.write(run.to_json().encode() + b"\n")
            self.process.stdin.flush()

    def poll(self) -> int | None:
        """The exit code of its run; None while the run lasts."""
        ended = self.process.poll()
        if not self.answers.empty():
            self.is_free, code = True, self.answers.get()
            if code not in (0, CLAIMED):
                self.stop()
            return code
        if ended is not None:
            self._end()
        return ended

    def stop(self) -> None:
        """End it by closing its standard input; kill it if that takes too long."""
        if self.process.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._end()

    def _end(self) -> None:
        self.is_free = True
        self.errors.seek(0)
        self.said = self.errors.read().decode(errors="replace")
        self.errors.close()
        if (number := -self.process.returncode) > 0:
            memory = self.OUT_OF_MEMORY * (number == signal.SIGKILL)
            self.said += f"\nThe process was ended by signal {number}, {signal.strsignal(number)}{memory}.\n"
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
