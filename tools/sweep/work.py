"""Execute one run in a process of its own: `python -m tools.sweep.work RUN`, where RUN is JSON from Run.to_json.

Its output is appended to the run's log. The exit code is 0 if all parts are finished, CLAIMED if another process is
working on the run, and otherwise that of train.py.
"""

import os
import platform
import sys
import threading
import time
from pathlib import Path

from kdpl.atomic_files import naming

from .runs import LOG, Run

CLAIMED = 75  # "try again later", as in sysexits.h
USER_ERROR = 2  # of train.py: something that only the user can fix
WITH_PARENT = "--with-parent"


def main(arguments: list[str]) -> int:
    """See the module; ``--with-parent`` ends the process when its standard input closes, that is, with its parent."""
    if WITH_PARENT in arguments:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    run = Run.from_json(arguments[-1] if arguments else "")
    with run.claim() as ours:
        if not ours:
            return CLAIMED
        with open(run.folder / LOG, "ab", buffering=0) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        print(f"== {time.strftime('%Y-%m-%d %H:%M:%S')} on {platform.node()}", flush=True)
        with naming(run.folder / LOG):
            return do(run)


def do(run: Run) -> int:
    """Do the unfinished parts; returns the first exit code of train.py that is not 0."""
    import train

    from .plan import FINISHED, STALE, set_aside, state_of_part

    for part in run.parts:
        print(f"== {part.title} ({part.folder})", file=sys.stderr, flush=True)
        state, why = state_of_part(part)
        if state == FINISHED:
            continue
        if state == STALE and part.trains:
            aside = set_aside(Path(part.folder))
            print(f"Warning: {why}\nThe training is repeated; its old files are kept in {aside}.", flush=True)
        code = train.main(part.arguments)
        if code:
            return code
    return 0


def _end_with_parent() -> None:
    """Wait until the parent closes standard input, a pipe it holds; then exit as if killed."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    from kdpl.guard import run_command

    run_command(lambda: main(sys.argv[1:]))
