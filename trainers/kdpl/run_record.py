"""The record of a run: what was done, on what, with which result. Written last, so that it stands for completion."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kdpl.atomic_files import write_json_atomically
from kdpl.clip.device import peak_memory
from kdpl.versions import versions

FILE_NAME = "results.json"


class RunRecord:
    """Collects what a run did; :meth:`finish` writes it."""

    def __init__(self, facts: dict[str, Any]):
        """
        Args:
            facts: plain values known from the start: trainer, dataset, seed, config and so on.
        """
        self.facts = facts
        self.evaluations: list[dict[str, Any]] = []
        self.phases: dict[str, dict[str, float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure seconds and peak memory of a phase; what it took earlier counts in."""
        start = time.monotonic()
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()
        try:
            yield
        finally:
            earlier = self.phases.get(name, {"seconds": 0.0, "peak_memory_mb": 0.0})
            self.phases[name] = {
                "seconds": round(earlier["seconds"] + time.monotonic() - start, 3),
                "peak_memory_mb": max(earlier["peak_memory_mb"], round(peak_memory() / 2**20, 1)),
            }

    def finish(self, directory: str | Path) -> None:
        """Write ``results.json``, atomically."""
        content = {"format": 1, "status": "finished", **self.facts}
        content |= {"evaluations": self.evaluations, "versions": versions(), "phases": self.phases}
        write_json_atomically(Path(directory) / FILE_NAME, content)


def same_student(ours: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two records are of one student: its tensors where both records tell, else its weights file."""
    fingerprints = [record.get("student_fingerprint") for record in (ours, others)]
    if all(fingerprints):
        return fingerprints[0] == fingerprints[1]
    return ours["weights_sha256"]["student"] == others["weights_sha256"]["student"]
