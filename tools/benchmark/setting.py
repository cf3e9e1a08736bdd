"""The size of what is measured, and how its time is taken."""

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
    """What the command line asks for.

    Attributes:
        max_tokens: of the text tower at once, where numbers of classes are measured.
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
        """Median seconds of each function, called in turn.

        Args:
            most: steps, where these take long.
        """
        n = min(self.steps, most or self.steps)
        return interleaved_seconds(functions, n, self.device, warm_up, self.clock)

    def case(self, method: str = "CoOp", classes: int | None = None) -> tuple[DistillationObjective, dict[str, Any]]:
        """An objective and a batch with its features."""
        fp32 = resolve_precision("fp32", self.device)
        n_classes = classes or self.classes
        return step_case(method, self.student, self.teacher, n_classes, self.batch, self.device, fp32)


def beside(what: Row, functions: list[Callable[[], Any]], setting: Setting, **limits: int) -> Row:
    """Seconds of the plain computation and of ours."""
    return what | against(*setting.seconds(functions, **limits))


def against(plain: float, ours: float) -> Row:
    """Seconds of both, and their ratio."""
    return {"plain, s": plain, "here, s": ours, "times as fast": plain / ours}
