"""What a run prints on the console, and what goes only to its log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


def log_only(text: str) -> None:
    """Write to the file that standard output is copied to (Dassl's log.txt), if there is one."""
    file = getattr(sys.stdout, "file", None)
    if file is not None:
        file.write(text + "\n")


def counts_table(dataset: str, n_classes: int | None, n_train: int, n_val: int, n_test: int) -> str:
    """The table of a dataset's name and sizes that Dassl prints; ``n_classes`` is None if the classes are unknown."""
    rows = [("Dataset", dataset), ("# classes", "unknown" if n_classes is None else f"{n_classes:,}")]
    rows += [("# train_x", f"{n_train:,}")] + [("# val", f"{n_val:,}")] * (n_val > 0) + [("# test", f"{n_test:,}")]
    left, right = (max(len(row[place]) for row in rows) for place in (0, 1))
    rule = f"{'-' * left}  {'-' * right}"
    return "\n".join([rule, *(f"{name:<{left}}  {value}" for name, value in rows), rule])


@contextmanager
def details_in_log_only(*beginnings: str) -> Iterator[None]:
    """Send printed lines with one of these beginnings to the log, not to the console."""
    lines = _Lines(beginnings)
    try:
        with redirect_stdout(lines):
            yield
    finally:
        lines.write("\n" if lines.rest else "")


class _Lines:
    """A stream that routes each line to the console or to the log."""

    def __init__(self, beginnings: tuple[str, ...]):
        self.beginnings = beginnings
        self.stream, self.rest = sys.stdout, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        with redirect_stdout(self.stream):
            for line in lines:
                log_only(line) if line.startswith(self.beginnings) else print(line)
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)  # flush, isatty, encoding ...
