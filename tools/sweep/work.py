"""Do runs of a sweep: `python -m tools.sweep.work RUN` does one, where RUN is JSON from Run.to_json.

With --serve N, it is one of N processes that read runs from standard input, one per line, and answer each with its exit
code on standard output, so that several runs share the imports, the loaded CLIPs and the images in memory.

Output is appended to the run's log. The exit code is 0 if all parts are finished, CLAIMED if another process is working
on the run, and otherwise that of train.py.
"""

import gc
import os
import platform
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

from kdpl.atomic_files import naming
from kdpl.guard import guarded, run_command

from .runs import LOG, Run

CLAIMED = 75  # "try again later", as in sysexits.h
USER_ERROR = 2  # of train.py: something that only the user can fix
WITH_PARENT, SERVE = "--with-parent", "--serve"


def main(arguments: list[str]) -> int:
    """Run the command; ``--with-parent`` ends the process when its standard input closes, that is, with its parent."""
    if SERVE in arguments:
        serve(int(arguments[-1]))
    if WITH_PARENT in arguments:
        _listen(SimpleQueue())
    return work(arguments[-1] if arguments else "")


def serve(n_processes: int) -> NoReturn:
    """Do the runs that the parent asks for, until it closes standard input or ends."""
    out, err = os.dup(1), os.dup(2)
    requests = SimpleQueue()
    _listen(requests)
    while True:
        text = requests.get()
        code = guarded(lambda text=text: work(text, n_processes))
        os.dup2(out, 1)
        os.dup2(err, 2)
        gc.collect()
        if "torch" in sys.modules:
            sys.modules["torch"].cuda.empty_cache()  # several processes may share a GPU
        os.write(out, b"%d\n" % code)


def work(text: str, n_processes: int = 0) -> int:
    """Do the run given as JSON, unless another process is working on it; output goes to its log.

    Args:
        n_processes: the number of processes that do one run after the other; 0 if this one does not.
    """
    run = Run.from_json(text)
    with run.claim() as ours:
        if not ours:
            return CLAIMED
        with open(run.folder / LOG, "ab", buffering=0) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        print(f"== {time.strftime('%Y-%m-%d %H:%M:%S')}, process {os.getpid()} on {platform.node()}", flush=True)
        with naming(run.folder / LOG):
            return do(run, n_processes)


def do(run: Run, n_processes: int = 0) -> int:
    """Do the unfinished parts; returns the first nonzero exit code of train.py."""
    import train
    from kdpl.evaluation import forget_outputs
    from kdpl.images.kept import keep_images

    from .plan import FINISHED, STALE, set_aside, state_of_part

    if n_processes:
        keep_images(n_processes)
    try:
        for part in run.parts:
            print(f"== {part.title} ({part.folder})", file=sys.stderr, flush=True)
            state, why = state_of_part(part)
            if state == FINISHED:
                continue
            if state == STALE and part.trains:
                aside = set_aside(Path(part.folder))
                print(f"Warning: {why}\nThe training is repeated; its old files are kept in {aside}.", flush=True)
            if code := train.main(part.arguments):
                return code
        return 0
    finally:
        forget_outputs()  # the next run has other prompts


def _listen(lines: SimpleQueue) -> None:
    """Pass on the lines of standard input in the background; when the parent closes it or ends, exit as if killed."""

    def listen() -> None:
        rest = b""
        while read := os.read(0, 2**16):  # not sys.stdin, whose lock would be held in processes that load images
            *complete, rest = (rest + read).split(b"\n")
            for line in complete:
                lines.put(line.decode())
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()


if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]))
