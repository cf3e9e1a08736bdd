"""Sizes of the benchmark, and timing with them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from kdpl.clip.precision import resolve_precision
from kdpl.distillation.objective import DistillationObjective
from kdpl.measuring.steps import step_case
from kdpl.measuring.timing import interleaved_seconds

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """The options of the command line.

    Attributes:
        max_tokens: text tokens per pass when the number of classes varies.
    """

    device: torch.device
    student: str
    teacher: str
    classes: int
    batch: int
    steps: int
    max_tokens: int
    quick: bool
    clock: Callable[[], float] = time.perf_counter

    def seconds(self, functions: list[Callable[[], Any]], warm_up: int = 1, most: int | None = None) -> list[float]:
        """Median seconds of each function; the functions are called in turn.

        Args:
            most: upper limit on the repetitions, for slow functions.
        """
        n = min(self.steps, most or self.steps)
        return interleaved_seconds(functions, n, self.device, warm_up, self.clock)

    def case(self, method: str = "CoOp", classes: int | None = None) -> tuple[DistillationObjective, dict[str, Any]]:
        """An objective with random CLIPs, and a batch with its frozen features."""
        fp32 = resolve_precision("fp32", self.device)
        n_classes = classes or self.classes
        return step_case(method, self.student, self.teacher, n_classes, self.batch, self.device, fp32)


def compared(label: Row, functions: list[Callable[[], Any]], setting: Setting, **limits: int) -> Row:
    """Time two functions, the plain implementation and ours."""
    return label | comparison(*setting.seconds(functions, **limits))


def comparison(plain: float, ours: float) -> Row:
    """Columns for the seconds of both implementations, and the speed-up."""
    return {"plain, s": plain, "ours, s": ours, "speed-up": plain / ours}
