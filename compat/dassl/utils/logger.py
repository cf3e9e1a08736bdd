"""Copies the console output of a run to a file."""

import os
import sys
import time
from pathlib import Path

from .files import mkdir_if_missing


class Logger:
    """Replaces ``sys.stdout``: writes to the console and, given ``fpath``, appends to a file."""

    def __init__(self, fpath: str | os.PathLike | None = None):
        self.console = sys.stdout.console if isinstance(sys.stdout, Logger) else sys.stdout
        self.file = None
        if fpath is not None:
            mkdir_if_missing(os.path.dirname(fpath))
            self.file = open(fpath, "a", encoding="utf-8", buffering=1)  # by line, so that a killed run keeps its log

    def write(self, msg: str) -> int:
        """Write to both; returns the number of characters, as files do."""
        if self.file is not None:
            try:
                self.file.write(msg)
            except OSError as error:  # a full disk: Python's own error names no file
                error.filename = error.filename or self.file.name
                raise
        return self.console.write(msg)

    def flush(self) -> None:
        """Flush both."""
        self.console.flush()
        if self.file is not None:
            self.file.flush()

    def close(self) -> None:
        """Close the file; the console stays open."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def __getattr__(self, name: str) -> object:
        return getattr(self.console, name)  # isatty, encoding, fileno ...


def setup_logger(output: str | os.PathLike | None = None) -> None:
    """Copy standard output to a file from now on.

    Args:
        output: a folder for ``log.txt``, or a file that ends in .txt or .log; if that file exists, the time is
            appended to the name. None: no file.
    """
    if output is None:
        return
    path = Path(output)
    if path.suffix not in (".txt", ".log"):
        path = path / "log.txt"
    if path.exists():
        path = path.with_name(path.name + time.strftime("-%Y-%m-%d-%H-%M-%S"))
    logger = Logger(path)
    if isinstance(sys.stdout, Logger):
        sys.stdout.close()
    sys.stdout = logger
