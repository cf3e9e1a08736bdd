"""Losses and gradients of the training steps, read from the device in bulk and checked for numbers gone bad."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class StepLog:
    """Keeps every step's losses and largest gradients on the device until somebody wants to read them.

    Reading a number makes the host wait for the device; here that happens once for many steps.
    """

    def __init__(self):
        self._names: list[str] = []
        self._steps: list[Tensor] = []

    def add(self, losses: dict[str, Tensor], parameters: Iterable[tuple[str, nn.Parameter]] = ()) -> None:
        """Note scalars and, of the parameters that have a gradient, its largest absolute value."""
        values = dict(losses)
        for name, parameter in parameters:
            if parameter.grad is not None:
                values[f"gradient of {name}"] = parameter.grad.abs().max()
        self._names = list(values)
        self._steps.append(torch.stack([value.detach().float() for value in values.values()]))

    def read(self) -> list[dict[str, float]]:
        """The values noted since the last reading, one dictionary a step.

        Raises:
            FloatingPointError: if one is not finite; the first bad tensor is named.
        """
        if not self._steps:
            return []
        rows = torch.stack(self._steps).cpu().tolist()
        self._steps.clear()
        steps = [dict(zip(self._names, row, strict=True)) for row in rows]
        for i, step in enumerate(steps):
            for name in sorted(step, key=_causes_first):
                value = step[name]
                if value - value != 0.0:  # infinite or not a number
                    raise FloatingPointError(
                        f"{name} became {value} in step {i + 1} of the last {len(steps)}. Prompts up to the last "
                        "finished epoch are saved. Try PREC fp32 or bf16, or a smaller OPTIM.LR."
                    )
        return steps


def _causes_first(name: str) -> int:
    """A sum is bad because of one of its terms, and the gradients because of it."""
    return 2 if name.startswith("gradient") else 1 if name == "loss" else 0
