"""What a sweep shows while it is running: progress bars on a terminal, one line per event elsewhere."""

import shutil
import sys
import time
from collections.abc import Iterable

from tqdm import tqdm

from .runs import LOG, Run

BYTES_OF_LOG = 4000
SECONDS_BETWEEN_LOOKS = 1.0


class View:
    """Counts finished runs and shows progress."""

    def __init__(self, n_runs: int, n_rows: int):
        """
        Args:
            n_rows: the most runs to show at once, each with its latest epoch.
        """
        self.n_runs, self.n_finished = n_runs, 0
        self.waited_for: set[Run] = set()
        self.looked = 0.0
        self.on_terminal = sys.stderr.isatty()
        self.bar = tqdm(total=n_runs, unit="run", position=0, disable=not self.on_terminal, smoothing=0)
        n_rows = n_rows if self.on_terminal else 0
        self.rows = [tqdm(total=0, position=i + 1, bar_format="{desc}", leave=False) for i in range(n_rows)]

    def started(self, run: Run) -> None:
        self.waited_for.discard(run)
        self._say(f"started  {run.name}")

    def finished(self, run: Run) -> None:
        self.n_finished += 1
        self.bar.update()
        self._say(f"finished {run.name}")

    def failed(self, run: Run, end_of_log: str, again: bool) -> None:
        indented = "\n".join(f"    {line}" for line in end_of_log.splitlines())
        what_next = "trying again" if again else f"see its log, {run.folder / LOG}"
        self._say(f"FAILED   {run.name}: {what_next}\n{indented}", always=True)

    def elsewhere(self, run: Run, by: str) -> None:
        if run not in self.waited_for:
            self.waited_for.add(run)
            self._say(f"waiting  {run.name}: {by or 'another process'} is working on it", always=True)

    def refresh(self, working: Iterable[Run]) -> None:
        """Show the latest epoch of the active runs."""
        if not self.rows or time.monotonic() - self.looked < SECONDS_BETWEEN_LOOKS:
            return
        self.looked = time.monotonic()
        texts = [f"{_latest_progress(run):<30} {run.name}" for run in working]
        width = shutil.get_terminal_size().columns - 1
        for row, text in zip(self.rows, texts + [""] * len(self.rows), strict=False):
            row.set_description_str(text[:width])

    def close(self) -> None:
        for bar in (*reversed(self.rows), self.bar):
            bar.close()

    def _say(self, text: str, always: bool = False) -> None:
        if not self.on_terminal:
            print(f"[{self.n_finished}/{self.n_runs}] {text}", file=sys.stderr, flush=True)
        elif always:
            tqdm.write(text, file=sys.stderr)


def _latest_progress(run: Run) -> str:
    """The latest progress in the log, such as "epoch [3/10] batch [12/24]"."""
    try:
        with open(run.folder / LOG, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - BYTES_OF_LOG))
            lines = file.read().decode(errors="replace").replace("\r", "\n").splitlines()
    except OSError:
        return "waiting"
    progress = [line for line in lines if line.startswith(("epoch [", "Evaluate", "Loading", "* accuracy"))]
    return " ".join(progress[-1].split()[:4]) if progress else "starting"
