"""The wrapper around every command: whatever happens, it ends with one message and an exit code.

An error that the user can fix gets one sentence (exit code 2); a bug of ours is reported as one, with a file to attach
to an issue (70); Ctrl-C ends a command with 130. The package imports this module first, so that Ctrl-C during the
other imports, which take seconds and leave nothing to save, ends the process immediately.
"""

import contextlib
import errno
import os
import platform
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

USER_ERROR, BUG, INTERRUPTED = 2, 70, 130  # exit codes
MAX_MESSAGE = 4000  # characters
COMMANDS = ("kdpl", "train.py")  # in addition to `python -m kdpl` and `python -m tools.<name>`
REASONS = {  # advice for errors of the operating system; the path is printed before it
    errno.ENOENT: "; check the path, and whether files can be created there",
    errno.EACCES: "; check its owner and permissions, or choose another location",
    errno.EPERM: "; check its owner and permissions, or choose another location",
    errno.EROFS: "; choose another location",
    errno.EISDIR: "; it must be a file",
    errno.ENOTDIR: "; it must be a folder",
    errno.EEXIST: "; something else is in the way: move it away, or choose another location",
    errno.ENAMETOOLONG: "; choose a shorter one",
    errno.ELOOP: "; remove the circular link",
    errno.ENOSPC: ": the disk is full. Free some space and repeat the command; finished work is kept",
    errno.EDQUOT: ": your disk quota is full. Free some space and repeat the command; finished work is kept",
    errno.EFBIG: ": raise the limit (ulimit -f) and repeat the command; finished work is kept",
    errno.EMFILE: ": raise the limit (ulimit -n), or use fewer DATALOADER.NUM_WORKERS",
    errno.EIO: ": the disk reported an error",
}


def run_command(main: Callable[[], int | None], resumes: str = "") -> NoReturn:
    """Run a command through :func:`guarded` and exit the process, even if standard output is closed."""
    code = guarded(main, resumes)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # Python would try again at shutdown, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def guarded(work: Callable[[], int | None], resumes: str = "") -> int:
    """Run a command and return its exit code; after an error or Ctrl-C, print one message on stderr.

    Args:
        resumes: added to the message after Ctrl-C, such as how to resume.
    """
    console, hook = sys.stdout, threading.excepthook
    threading.excepthook = _report_thread_error
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for names that the terminal cannot show
    try:
        code = work()
        _flush()
        return code or 0
    except KeyboardInterrupt:
        if IS_COMMAND:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        tell(f"\nInterrupted.{' ' * bool(resumes)}{resumes}")
        if IS_COMMAND:  # threads left over from the interrupted work may make a regular exit abort
            os._exit(INTERRUPTED)
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("KDPL_TRACEBACK"):
            raise
        return _report_error(error)
    finally:
        sys.stdout, threading.excepthook = console, hook


def tell(message: str) -> None:
    """Print on stderr, and to the log that standard output is copied to, if there is one."""
    for stream in (sys.stderr, getattr(sys.stdout, "file", None)):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                print(message, file=stream, flush=True)


def in_words(error: BaseException) -> str:
    """The message for an error that the user can fix; empty for an unexpected error."""
    text = str(error)
    if isinstance(error, BrokenPipeError):
        return "the program reading this command's output closed before everything was written"
    if isinstance(error, OSError) and error.errno in REASONS:
        return f"{error.filename or 'standard output or a file'}: {os.strerror(error.errno)}{REASONS[error.errno]}."
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and not error.name.startswith(("kdpl", "trainers", "tools"))
    ):
        package = error.name.partition(".")[0]
        return f"the package {package} is missing ({text}). Install it: pip install -r requirements.txt"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory{f' ({text.splitlines()[0]})' if text else ''}. Use smaller batches or fewer workers."
    if isinstance(error, RuntimeError) and text == "can't start new thread":
        return "no more threads can be started. Raise the limits (ulimit -u, ulimit -v) or use fewer workers."
    if isinstance(error, RuntimeError) and text.startswith("DataLoader worker"):
        return f"an image-loading process died ({text.splitlines()[0]}). Use fewer workers, or none."
    if isinstance(error, RuntimeError) and "enforce fail at inline_container" in text:
        return f"A file could not be written{REASONS[errno.ENOSPC]} ({text.splitlines()[0]})."
    return text or type(error).__name__ if isinstance(error, ValueError | OSError | FloatingPointError) else ""


def _report_error(error: Exception) -> int:
    if words := in_words(error):
        tell(f"error: {words if len(words) <= MAX_MESSAGE else words[:MAX_MESSAGE] + ' ...'}")
        return USER_ERROR
    summary = f"{type(error).__name__}: {str(error)[:500]}"
    tell(f"error: this is a bug in KDPL ({summary}).\n{_write_bug_report(error)}")
    return BUG


def _write_bug_report(error: BaseException) -> str:
    """Write a file for a bug report; returns the sentence that tells the user what to do with it."""
    trace = "".join(traceback.format_exception(error))
    facts = f"{' '.join(sys.argv)}\nPython {sys.version}\n{platform.platform()}\n"
    for package in ("kdpl.versions", "torch"):
        version = getattr(sys.modules.get(package), "__version__", "not imported")
        facts += f"{package.partition('.')[0]} {version}\n"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix=time.strftime("kdpl-bug-%Y%m%d-%H%M%S-"), suffix=".txt", delete=False, encoding="utf-8",
            errors="backslashreplace",
        ) as file:  # fmt: skip
            file.write(f"{facts}\n{trace}")
    except OSError as problem:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}"
        return f"It occurred in {place}; no report could be written ({problem}). Please open an issue."
    return f"Please open an issue and attach {file.name}, which contains the command line, versions and traceback."


def _report_thread_error(thread: threading.ExceptHookArgs) -> None:
    """Print the message for an exception that ended a thread, such as TensorBoard's on a full disk."""
    if thread.exc_value is not None and not isinstance(thread.exc_value, SystemExit):
        _report_error(thread.exc_value)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


_interrupted = False  # whether Ctrl-C was pressed and is deferred to the next safe place


@contextlib.contextmanager
def at_safe_places() -> Iterator[None]:
    """Within the block, defer Ctrl-C to the next :func:`safe_place` or the end; a second Ctrl-C takes effect at once.

    Otherwise KeyboardInterrupt can be raised anywhere, including inside a destructor or a callback from C++, where it
    is lost or makes the process abort.
    """
    global _interrupted
    is_main_thread = threading.current_thread() is threading.main_thread()
    if not is_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # an outer block, or another program, handles Ctrl-C
        return
    signal.signal(signal.SIGINT, _defer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if _interrupted:  # even after an error: Ctrl-C also ends the image-loading workers
            _interrupted = False
            raise KeyboardInterrupt


def safe_place() -> None:
    """Stop here, between two steps, if Ctrl-C was pressed in a block of :func:`at_safe_places`."""
    if _interrupted:
        raise KeyboardInterrupt


def _defer(number: int, frame: object) -> None:
    global _interrupted
    if _interrupted:
        raise KeyboardInterrupt
    _interrupted = True


@contextlib.contextmanager
def nothing_to_save() -> Iterator[None]:
    """Within the block, such as one of imports, Ctrl-C ends the process immediately."""
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and before is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _end_at_once)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def _end_at_once(number: int, frame: object) -> NoReturn:
    os.write(2, b"\nInterrupted.\n")
    os._exit(INTERRUPTED)


def _is_command() -> bool:
    """Whether this process is one of our commands, started with `python -m` or as a script."""
    if sys.argv[:1] == ["-m"]:  # while Python is still locating the module
        return any(word.partition(".")[0] in ("kdpl", "tools") for word in sys.orig_argv[1:4])
    return bool(sys.argv) and Path(sys.argv[0]).name.removesuffix(".exe") in COMMANDS


IS_COMMAND = _is_command()
if IS_COMMAND:
    for _name in ("stdout", "stderr"):
        if getattr(sys, _name) is None:  # closed by the parent process; no other file may take over its descriptor
            setattr(sys, _name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _end_at_once)
