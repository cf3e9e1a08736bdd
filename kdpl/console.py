"""What a run prints on the console, and what only its log has."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


def log_only(text: str) -> None:
    """Write to the file that standard output is copied to (Dassl's log.txt); without such a copy, nowhere."""
    file = getattr(sys.stdout, "file", None)
    if file is not None:
        file.write(text + "\n")


def counts_table(dataset: str, n_classes: int | None, n_train: int, n_val: int, n_test: int) -> str:
    """Name and sizes of a dataset as Dassl prints them; None stands for classes that nobody has named."""
    rows = [("Dataset", dataset), ("# classes", "unknown" if n_classes is None else f"{n_classes:,}")]
    rows += [("# train_x", f"{n_train:,}")] + [("# val", f"{n_val:,}")] * (n_val > 0) + [("# test", f"{n_test:,}")]
    left, right = (max(len(row[place]) for row in rows) for place in (0, 1))
    rule = f"{'-' * left}  {'-' * right}"
    return "\n".join([rule, *(f"{name:<{left}}  {value}" for name, value in rows), rule])


@contextmanager
def details_in_log_only(*beginnings: str) -> Iterator[None]:
    """Keep printed lines that begin like this from the console; the log has them."""
    lines = _Lines(beginnings)
    try:
        with redirect_stdout(lines):
            yield
    finally:
        lines.write("\n" if lines.rest else "")


class _Lines:
    """Passes on what is written to it line by line."""

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
