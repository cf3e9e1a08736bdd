"""Runs, the units that a sweep schedules, and their parts: a training and its evaluations."""

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from kdpl import locks

LOG = "sweep.log"  # in the folder of a run
CLAIM = ".claim"  # beside it, locked by the process that works on the run


@dataclass(frozen=True)
class Part:
    """One training or one evaluation.

    Attributes:
        folder: where it writes its results.
        arguments: its command line for train.py.
        title: how it is announced.
    """

    folder: str
    arguments: tuple[str, ...]
    title: str = ""

    @property
    def trains(self) -> bool:
        return "--eval-only" not in self.arguments


@dataclass(frozen=True)
class Run:
    """Parts that one process works through in order: a training with its evaluations, or evaluations alone.

    Attributes:
        name: the folder of the first part, relative to the output folder.
    """

    name: str
    parts: tuple[Part, ...]

    @property
    def folder(self) -> Path:
        """Where its log and its claim are kept."""
        return Path(self.parts[0].folder)

    def claim(self) -> AbstractContextManager[bool]:
        """Try to lock the run for the length of a block; the context value says whether it succeeded.

        The system releases the lock of a process that dies. Across machines it holds on file systems that share
        flock(2), such as NFS 3 or later, Lustre mounted with -o flock, and GPFS.
        """
        return locks.claim(self.folder / CLAIM)

    def claimed_by(self) -> str:
        """Who is working on the run, in words; empty if nobody is."""
        return locks.claimed_by(self.folder / CLAIM)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Run":
        try:
            content = json.loads(text)
            parts = tuple(Part(p["folder"], tuple(p["arguments"]), p["title"]) for p in content["parts"])
            return cls(content["name"], parts)
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{text[:200]!r} is not a run of a sweep as written by Run.to_json.") from error
