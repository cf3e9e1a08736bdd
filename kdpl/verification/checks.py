"""Checks with a verdict, and the report that users can attach to an issue."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..atomic_files import write_json_atomically
from ..versions import versions

FILE_NAME = "verification.json"
PASS, FAIL, SKIPPED = "pass", "fail", "skipped"
FORMAT = 1


@dataclass
class Check:
    """The result of one check.

    Attributes:
        level: 0 to 3.
        name: what was checked.
        status: "pass", "fail", or "skipped".
        message: one sentence with the result, the reason for skipping, or the probable cause of a failure.
        differences: measured differences, by name.
        tolerance: the largest allowed differences, by the same names.
        facts: other plain values, such as hashes.
    """

    level: int
    name: str
    status: str
    message: str = ""
    differences: dict[str, float] = field(default_factory=dict)
    tolerance: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Report:
    """All checks of a verification.

    Attributes:
        device: name of the device.
        tell: called with each check as soon as it is done.
    """

    device: str
    tell: Callable[[Check], None] = lambda check: None
    checks: list[Check] = field(default_factory=list)

    def add(self, check: Check) -> None:
        self.checks.append(check)
        self.tell(check)

    @contextmanager
    def guarded(self, level: int, name: str) -> Iterator[None]:
        """Turn an error within the block into a failed check, so that the remaining checks still run."""
        try:
            yield
        except Exception as error:  # the purpose is to find whatever is wrong with an installation
            self.add(Check(level, name, FAIL, f"{type(error).__name__}: {error}"))

    def verdict(self, level: int | None = None) -> str:
        """Verdict of a level, or of all: "fail" if a check failed, "pass" if at least one passed, else "skipped"."""
        found = {check.status for check in self.checks if level in (None, check.level)}
        return next((status for status in (FAIL, PASS) if status in found), SKIPPED)

    @property
    def levels(self) -> list[int]:
        return sorted({check.level for check in self.checks})

    def as_dict(self) -> dict[str, Any]:
        """The content of ``verification.json``."""
        return {
            "format": FORMAT,
            "verdict": self.verdict(),
            "levels": {str(level): self.verdict(level) for level in self.levels},
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "device": self.device,
            "versions": versions(),
            "checks": [asdict(check) for check in self.checks],
        }

    def write(self, path: str | os.PathLike) -> None:
        """Write the report, atomically."""
        write_json_atomically(Path(path), self.as_dict())


def line_of(check: Check) -> str:
    """A check as one line for the console."""
    return f"{check.status.upper():<8}level {check.level}  {check.name}: {check.message}"
