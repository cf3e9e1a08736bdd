"""A copy in a file of what a run prints."""

import os
import sys
import time
from pathlib import Path

from .files import mkdir_if_missing


class Logger:
    """Stands in for ``sys.stdout``: writes to the console and, given ``fpath``, to the end of a file."""

    def __init__(self, fpath: str | os.PathLike | None = None):
        self.console = sys.stdout.console if isinstance(sys.stdout, Logger) else sys.stdout
        self.file = None
        if fpath is not None:
            mkdir_if_missing(os.path.dirname(fpath))
            self.file = open(fpath, "a", encoding="utf-8", buffering=1)  # by lines: a killed run keeps its log

    def write(self, msg: str) -> int:
        """Write to both; the number of characters, as files do."""
        if self.file is not None:
            self.file.write(msg)
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
    """From now on copy standard output to a file.

    Args:
        output: a folder, which gets ``log.txt``, or a file that ends in .txt or .log. Where that exists already, the
            new file has the time in its name. None does nothing.
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
