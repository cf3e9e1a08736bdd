"""What a sweep is made of: runs, and the trainings and evaluations that they consist of."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

LOG = "sweep.log"  # of a run, in its folder


@dataclass(frozen=True)
class Part:
    """One training or one evaluation: a command line of train.py, the folder that it writes into, what to call it."""

    folder: str
    arguments: tuple[str, ...]
    title: str = ""

    @property
    def trains(self) -> bool:
        return "--eval-only" not in self.arguments


@dataclass(frozen=True)
class Run:
    """Parts that one process does one after the other: a training, if there is one, and its evaluations.

    Attributes:
        name: the folder of the first part, below the output folder.
    """

    name: str
    parts: tuple[Part, ...]

    @property
    def folder(self) -> Path:
        """Where its claim and its log are."""
        return Path(self.parts[0].folder)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Run":
        try:
            content = json.loads(text)
            parts = tuple(Part(p["folder"], tuple(p["arguments"]), p["title"]) for p in content["parts"])
            return cls(content["name"], parts)
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{text[:200]!r} is not a run of a sweep, as Run.to_json writes it.") from error
