"""A journal for resuming an interrupted classification: one line per finished batch."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..atomic_files import naming
from ..settings import changed_settings
from .items import Item
from .rows import Row

FORMAT = "kdpl-journal-1"


class Journal:
    """Rows of finished batches, stored beside the output file; if the process is killed, complete batches remain.

    Attributes:
        n_batches: number of finished batches.
    """

    def __init__(self, file: Path, settings: Mapping[str, Any]):
        """Start a journal, or continue an existing one.

        Args:
            settings: everything the rows depend on, as plain values.

        Raises:
            ValueError: if the file was written with other settings, or is not a journal.
        """
        self.file = file
        self.n_batches = 0
        if file.exists() and (size := self._check(settings)):
            os.truncate(file, size)  # drop a line that was being written when the process was killed
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            with naming(file):
                file.write_text(json.dumps({"format": FORMAT, "settings": dict(settings)}) + "\n", encoding="utf-8")
        self._stream = open(file, "a", encoding="utf-8")  # noqa: SIM115  open until close()

    def _check(self, settings: Mapping[str, Any]) -> int:
        """Count the batches; returns the number of bytes of complete lines."""
        size = 0
        with open(self.file, "rb") as stream:
            for i, line in enumerate(stream):
                if not line.endswith(b"\n"):
                    break
                if i == 0:
                    self._check_settings(line, settings)
                size += len(line)
                self.n_batches = i
        return size

    def _check_settings(self, line: bytes, settings: Mapping[str, Any]) -> None:
        try:
            header = json.loads(line)
            before = header["settings"] if header["format"] == FORMAT else None
        except (ValueError, TypeError, KeyError):
            before = None
        if before is None:
            raise ValueError(f"{self.file} exists but is not a journal. Move it, or choose another output.")
        if changed := changed_settings(before, json.loads(json.dumps(settings)), {}):
            listed = "; ".join(f"{key} was {old}, is {new}" for key, (old, new) in changed.items())
            raise ValueError(
                f"{self.file} belongs to an interrupted command with other arguments ({listed}). Run that command "
                "again to finish it, or remove the file to start over."
            )

    def append(self, rows: Sequence[Row]) -> None:
        """Add a finished batch."""
        with naming(self.file):
            self._stream.write(json.dumps(rows) + "\n")
            self._stream.flush()
        self.n_batches += 1

    def check_batch(self, items: Sequence[Item], rows: Sequence[Row]) -> None:
        """Refuse to continue if the images have changed.

        Raises:
            ValueError: naming the first difference.
        """
        for item, row in zip(items, rows, strict=False):
            if item.name != row.name:
                raise ValueError(
                    f"The images have changed since {self.file} was started: {row.name} was where {item.name} is now. "
                    "Remove that file to start over."
                )
        if len(items) != len(rows):
            raise ValueError(f"The images have changed since {self.file} was started. Remove that file to start over.")

    def batches(self) -> Iterator[list[Row]]:
        """The rows of each batch, in order."""
        with open(self.file, encoding="utf-8") as stream:
            next(stream)
            for line, _ in zip(stream, range(self.n_batches), strict=False):
                yield [Row(name, [tuple(pair) for pair in top], error) for name, top, error in json.loads(line)]

    def rows(self) -> Iterator[Row]:
        """All rows, in order."""
        for batch in self.batches():
            yield from batch

    def close(self) -> None:
        """Stop writing."""
        self._stream.close()

    def remove(self) -> None:
        """Stop writing and remove the file, once the output has been written."""
        self.close()
        self.file.unlink()
