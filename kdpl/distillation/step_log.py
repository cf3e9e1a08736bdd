"""Losses and gradients of training steps, read from the device in bulk and checked for NaN and infinity."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class StepLog:
    """Keeps every step's losses and largest gradients on the device until they are read.

    Reading a number synchronises with the device; this way it happens only once for many steps.
    """

    def __init__(self):
        self._names: list[str] = []
        self._steps: list[Tensor] = []

    def add(self, losses: dict[str, Tensor], parameters: Iterable[tuple[str, nn.Parameter]] = ()) -> None:
        """Record scalars and, for each parameter with a gradient, its largest absolute value."""
        values = dict(losses)
        for name, parameter in parameters:
            if parameter.grad is not None:
                values[f"gradient of {name}"] = parameter.grad.abs().max()
        self._names = list(values)
        self._steps.append(torch.stack([value.detach().float() for value in values.values()]))

    def read(self) -> list[dict[str, float]]:
        """The values recorded since the last call, one dictionary per step.

        Raises:
            FloatingPointError: naming the first value that is not finite.
        """
        if not self._steps:
            return []
        rows = torch.stack(self._steps).cpu().tolist()
        self._steps.clear()
        steps = [dict(zip(self._names, row, strict=True)) for row in rows]
        for i, step in enumerate(steps):
            for name in sorted(step, key=_causes_first):
                value = step[name]
                if value - value != 0.0:  # infinite or NaN
                    raise FloatingPointError(
                        f"{name} became {value} in step {i + 1} of the last {len(steps)}. Prompts are saved up to the "
                        "last finished epoch. Try PREC fp32 or bf16, or a smaller OPTIM.LR."
                    )
        return steps


def _causes_first(name: str) -> int:
    """Sort key: single terms first, then their sum, then the gradients."""
    return 2 if name.startswith("gradient") else 1 if name == "loss" else 0
