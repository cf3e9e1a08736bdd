"""Run a sweep to completion on an engine: start runs, retry failed ones, wait for those of other processes."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .runs import LOG, Run
from .view import View
from .work import CLAIMED, USER_ERROR

SECONDS_TO_WAIT_FOR_OTHERS = 2.0
LINES_OF_LOG = 15
UNFIT = "\nThe process succeeded, but its results are not the expected ones. Has a configuration changed meanwhile?\n"


class Process(Protocol):
    """A run that an engine has started."""

    said: str  # its output outside the run's log, once it has ended

    def poll(self) -> int | None: ...  # the exit code; None while it is running
    def stop(self) -> None: ...


class Engine(Protocol):
    """Where runs are executed."""

    slots: int  # runs at once
    pause: float  # seconds between two polls

    def start(self, run: Run) -> Process: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Failure:
    """A run that did not finish, and the end of its log."""

    run: Run
    code: int
    end_of_log: str


def drive(
    runs: Sequence[Run], engine: Engine, is_finished: Callable[[Run], bool], retries: int, view: View
) -> list[Failure]:
    """Work on runs until each has finished, failed ``1 + retries`` times, or hit an error that only the user can fix.

    Records, not exit codes, decide whether a run has finished, so it does not matter which of several sweeps worked on
    it. A run claimed by another process is waited for, and taken over if that process dies.
    """
    waiting = {run: 0.0 for run in runs}  # run: when to look at it again
    working: dict[Run, Process] = {}
    attempts: Counter[Run] = Counter()
    failures = []
    try:
        while waiting or working:
            for run in [run for run, when in waiting.items() if when <= time.monotonic()]:
                if len(working) == engine.slots:
                    break
                if is_finished(run):
                    view.finished(run)
                    del waiting[run]
                elif by := run.claimed_by():
                    view.elsewhere(run, by)
                    waiting[run] = time.monotonic() + SECONDS_TO_WAIT_FOR_OTHERS
                else:
                    working[run] = engine.start(run)
                    view.started(run)
                    del waiting[run]
            for run, process in list(working.items()):
                code = process.poll()
                if code is None:
                    continue
                del working[run]
                if is_finished(run):
                    view.finished(run)
                elif code == CLAIMED:
                    view.elsewhere(run, run.claimed_by())
                    waiting[run] = time.monotonic() + SECONDS_TO_WAIT_FOR_OTHERS
                else:
                    attempts[run] += 1
                    again = attempts[run] <= retries and code != USER_ERROR
                    failure = Failure(run, code, _end_of_log(run, process.said + UNFIT * (code == 0)))
                    view.failed(run, failure.end_of_log, again)
                    if again:
                        waiting[run] = 0.0
                    else:
                        failures.append(failure)
            view.refresh(working)
            time.sleep(engine.pause)
    finally:
        for process in working.values():
            process.stop()
        engine.close()
    return failures


def _end_of_log(run: Run, message: str) -> str:
    try:
        text = (run.folder / LOG).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        text = ""
    lines = [line.rsplit("\r", 1)[-1] for line in (text + message).splitlines()]  # the last state of progress bars
    return "\n".join(line for line in lines[-LINES_OF_LOG:] if line.strip())
