"""Runs one after the other in this process, which loads each CLIP once; for the single experiments of the scripts."""

import contextlib
import io
import sys
import time
from collections.abc import Sequence

from kdpl.clip.loading import clips_kept

from .claims import claim, claimed_by
from .drive import SECONDS_TO_WAIT_FOR_OTHERS
from .needs import unmet_needs
from .runs import Run
from .work import do

SHOWN = ("epoch", "Resuming", "Zero-shot", "On validation", "Warning")  # starts of lines; log.txt has all of them


def run_here(runs: Sequence[Run]) -> int:
    """Bring runs to their end; the first exit code of train.py that is not 0.

    Raises:
        ValueError: if the machine lacks something that they need.
    """
    for problem in unmet_needs(runs).values():
        raise ValueError(problem)
    with clips_kept(), contextlib.redirect_stdout(Progress()):
        return next((code for code in map(_run, runs) if code), 0)


def _run(run: Run) -> int:
    waits = False
    while True:
        with claim(run.folder) as ours:
            if ours:
                return do(run)
        if not waits:
            print(f"{run.name}: waiting for {claimed_by(run.folder) or 'another process'}", file=sys.stderr)
        waits = True
        time.sleep(SECONDS_TO_WAIT_FOR_OTHERS)


class Progress(io.StringIO):
    """Standard output that passes on the lines which say how far a run is."""

    line = ""

    def write(self, text: str) -> int:
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            if line.startswith(SHOWN):
                print(line, file=sys.stderr, flush=True)
        return len(text)

    def close(self) -> None:
        """Stock Dassl's logger closes what it writes to; the next run needs it."""
