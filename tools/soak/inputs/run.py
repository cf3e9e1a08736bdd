"""Running a command on a bad input in a separate process, and judging its output."""

import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

from ..jobs import ROOT
from .case import Case

LONGEST = 60  # seconds
MOST_MEMORY = 2**31  # bytes more than an ordinary run
ADDRESSES = 24 * 2**30  # bytes of address space per process, to protect the machine
MOST_SHOWN = 2500  # characters per answer in the file of --messages
TRACEBACK = re.compile(r"Traceback \(most recent call last\)|this is a bug in KDPL|^Exception in thread", re.M)
RAW = re.compile(r"list index out of range|NoneType|object has no attribute|Errno|KeyError|invalid literal|__\w+__")
VERDICTS = ("traceback", "timeout", "too much memory", "accepted", "unclear", "good")


class Answer(NamedTuple):
    """Result of a command: exit code (None after a timeout), output, seconds, and peak memory in bytes."""

    code: int | None
    text: str
    seconds: float
    memory: int


def run(case: Case, here: Path, good: Path, forked: bool = False) -> Answer:
    """Create the files and run the command.

    Args:
        forked: fork this process, which has imported everything, instead of starting a new Python.
    """
    here.mkdir()
    case.write(here, good)
    return answer(words_of(case, here, good), here, case.stdin, forked)


def words_of(case: Case, here: Path, good: Path) -> list[str]:
    """The words of the command line, with variables replaced."""
    known = {"$PYTHON": sys.executable, "$here": here, **{f"${path.stem}": path for path in good.iterdir()}}
    words = []
    for word in shlex.split(case.command):
        for name, path in known.items():
            word = word.replace(name, str(path))
        words.append(word)
    return words


def answer(words: Sequence[str], here: Path, stdin: str = "", forked: bool = False) -> Answer:
    """Run a command line with limits on time and memory."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as source:
        source.write(stdin.encode())
        source.seek(0)
        start = _fork if forked and words[0] not in ("bash", "sh", "python") else _spawn
        pid = start(words, here, source, output)
        code, memory = _wait(pid, begun + LONGEST)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Answer(code, text, time.monotonic() - begun, memory)


def _wait(pid: int, end: float) -> tuple[int | None, int]:
    """Exit code, or None if the process had to be killed, and peak memory in bytes."""
    killed = False
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return None if killed else os.waitstatus_to_exitcode(status), 1024 * usage.ru_maxrss
        if time.monotonic() > end and not killed:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            killed = True
        time.sleep(0.02)


def _prepare(here: Path) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    os.environ.update(environment(here))
    os.environ.pop("KDPL_TRACEBACK", None)


def environment(here: Path) -> dict[str, str]:
    """Environment variables for one thread, offline, with caches and temporary files in the case's folder."""
    return {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(here / ".cache"), "HF_HUB_OFFLINE": "1", "TMPDIR": str(here)}


def _spawn(words: Sequence[str], here: Path, source, output) -> int:
    """Start the command as a user would."""
    python = {"kdpl": ["-m", "kdpl"], "train.py": ["train.py"]}.get(words[0], ["-m", words[0]])
    shells = words[0] in ("bash", "sh", "python")
    command = [sys.executable, *words[1:]] if words[0] == "python" else [*words]
    command = command if shells else [sys.executable, *python, *words[1:]]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=source, stdout=output, stderr=output, preexec_fn=lambda: _prepare(here)
    ).pid


def _fork(words: Sequence[str], here: Path, source, output) -> int:
    """Start the command's ``main`` in a fork of this process."""
    if pid := os.fork():
        return pid
    for number, stream in enumerate((source, output, output)):
        os.dup2(stream.fileno(), number)
    os.chdir(ROOT)
    _prepare(here)
    _run_main(words)


def _run_main(words: Sequence[str]) -> NoReturn:
    code = 99
    try:
        from kdpl.guard import run_command

        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "r" if n == 0 else "w", buffering=1) for n in range(3))
        sys.argv = [words[0], *words[1:]]
        tempfile.tempdir = None
        run_command(lambda: main_of(words[0])(list(words[1:])))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def main_of(program: str) -> Callable[[list[str]], int | None]:
    """The function behind a command line."""
    for name in {"kdpl": ["kdpl.__main__"], "train.py": ["train"]}.get(program, [f"{program}.__main__", program]):
        with suppress(ModuleNotFoundError):
            return import_module(name).main
    raise ValueError(f"{program} is not a command of this repository.")


def judge(case: Case, answer: Answer, ordinary: int) -> str:
    """One of VERDICTS."""
    if TRACEBACK.search(answer.text) or answer.code in (70, 99):
        return "traceback"
    if answer.code is None:
        return "timeout"
    if answer.code < 0 or answer.memory > ordinary + MOST_MEMORY:
        return "too much memory"
    if answer.code not in case.codes:
        return "accepted" if answer.code == 0 else "unclear"
    if not case.says:  # for example, because standard output is closed
        return "good"
    named = any(words.lower() in answer.text.lower() for words in case.says.split("|"))
    return "good" if named and not RAW.search(answer.text) and answer.text.strip() else "unclear"
