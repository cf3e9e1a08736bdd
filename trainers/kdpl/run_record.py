"""The record of a run: what was done, on what, with which result. Written last, so that it stands for completion."""

import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kdpl.atomic_files import write_json_atomically
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
                "peak_memory_mb": max(earlier["peak_memory_mb"], round(_peak_memory() / 2**20, 1)),
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


class Counts:
    """Correct and total images of every class, gathered on the device."""

    def __init__(self, classnames: Sequence[str], device: torch.device):
        self.classnames = list(classnames)
        self.confusion = torch.zeros(len(classnames), len(classnames), dtype=torch.long, device=device)

    def add(self, logits: torch.Tensor, label: torch.Tensor) -> None:
        """(batch, n_cls) and (batch,), without waiting for the device."""
        cell = label * len(self.classnames) + logits.argmax(dim=-1)
        self.confusion.view(-1).index_add_(0, cell, torch.ones_like(cell))

    def result(self) -> dict[str, Any]:
        """Accuracy and macro F1 in percent, exact counts, and the counts of each class."""
        confusion = self.confusion.cpu()
        correct, totals, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
        f1 = (2 * correct / (totals + predicted))[totals > 0]  # of the classes that have images, as Dassl counts
        return {
            "correct": int(correct.sum()),
            "total": int(totals.sum()),
            "accuracy": 100.0 * int(correct.sum()) / max(1, int(totals.sum())),
            "macro_f1": 100.0 * float(f1.double().mean()) if len(f1) else 0.0,
            "per_class": [
                {"classname": name, "correct": int(c), "total": int(t)}
                for name, c, t in zip(self.classnames, correct, totals, strict=True)
            ],
        }


def device_name(device: torch.device) -> str:
    """The card's name, or the CPU with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def _peak_memory() -> int:
    """Bytes: of the card since the phase began, or of the whole process so far on a CPU."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
