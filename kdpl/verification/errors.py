"""Differences from golden numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

# Relative to the largest value of an array; for gradients, relative to their norm.
TOLERANCE = {"logits": 2e-5, "features": 2e-5, "terms": 2e-5, "lr": 2e-5, "weights": 2e-5, "grad": 2e-4, "params": 1e-5}
# In bfloat16, matrix products have 8 significant bits. On a CPU, the six cases differ by at most 2.7e-2 in logits,
# 6e-3 in features and terms, 5e-2 in gradients and 6e-3 in prompts; learning rates are exact.
HALF_TOLERANCE = {
    "logits": 6e-2, "features": 2e-2, "terms": 2e-2, "lr": 2e-5, "weights": 2e-5, "grad": 1e-1, "params": 1.5e-2,
}  # fmt: skip


class Errors:
    """The largest relative error of each kind of number, other faults, and quantities that were not compared."""

    def __init__(self, tolerance: Mapping[str, float] = TOLERANCE):
        self.tolerance = tolerance
        self.worst: dict[str, tuple[float, str]] = {}
        self.faults: list[str] = []
        self.not_compared: list[str] = []

    def compare(self, kind: str, what: str, ours: Any, golden: Any, scale: float | None = None) -> None:
        """Record the largest difference of two arrays, relative to ``scale`` (default: the largest golden value)."""
        ours, golden = (_array(x) for x in (ours, golden))
        if ours.shape != golden.shape:
            self.faults.append(f"{what}: shape {ours.shape} instead of {golden.shape}")
            return
        scale = np.abs(golden).max() if scale is None else scale
        error = float(np.abs(ours - golden).max() / max(scale, 1e-30))
        if not error <= self.worst.get(kind, (-1.0, ""))[0]:
            self.worst[kind] = (error, what)

    def compare_described(
        self, kind: str, what: str, ours: Tensor, golden: dict, scale: float | None = None, norm: float | None = None
    ) -> None:
        """Compare an array with a golden description: shape, norm, mean, and values or samples.

        Args:
            scale: what errors of values are relative to, by default our largest value.
            norm: what the error of the norm is relative to, by default the golden norm.
        """
        flat = _array(ours).reshape(-1)
        if list(ours.shape) != golden["shape"]:
            self.faults.append(f"{what}: shape {list(ours.shape)} instead of {golden['shape']}")
            return
        self.compare(kind, f"{what} norm", np.linalg.norm(flat), golden["norm"], norm)
        scale = np.abs(flat).max() if scale is None else scale
        self.compare(kind, f"{what} mean", flat.mean(), golden["mean"], scale)
        self.compare(kind, f"{what} first8", flat[:8], golden["first8"], scale)
        if "values" in golden:
            self.compare(kind, f"{what} values", flat, golden["values"], scale)
        if "sample" in golden:
            sample = flat[:: golden["stride"]][: len(golden["sample"])]
            self.compare(kind, f"{what} sample", sample, golden["sample"], scale)

    @property
    def passed(self) -> bool:
        return not self.faults and all(error <= self.tolerance[kind] for kind, (error, _) in self.worst.items())

    def line(self) -> str:
        parts = []
        for kind, (error, what) in self.worst.items():
            tolerance = self.tolerance[kind]
            parts.append(f"{kind} {error:.1e}" + f" (over {tolerance:.0e}: {what})" * (not error <= tolerance))
        skipped = [f"not compared: {', '.join(dict.fromkeys(self.not_compared))}"] if self.not_compared else []
        return ", ".join(parts + self.faults + skipped)


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu().double() if isinstance(values, Tensor) else values, dtype=np.float64)
