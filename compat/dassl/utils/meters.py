"""Running averages of the metrics of a training loop."""

import torch


class AverageMeter:
    """Last value and average of a series; with ``ema``, an exponential average with weight 0.1 for each new value."""

    def __init__(self, ema: bool = False):
        self.ema = ema
        self.reset()

    def reset(self) -> None:
        """Discard all values."""
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val: float | torch.Tensor, n: int = 1) -> None:
        """Add ``val``, counted ``n`` times."""
        self.val = val.item() if isinstance(val, torch.Tensor) else val
        self.sum += self.val * n
        self.count += n
        self.avg = 0.9 * self.avg + 0.1 * self.val if self.ema else self.sum / self.count


class MetricMeter:
    """One ``AverageMeter`` per name; prints as ``loss 0.1234 (0.2345) acc ...``: last value and average."""

    def __init__(self, delimiter: str = " "):
        self.meters: dict[str, AverageMeter] = {}
        self.delimiter = delimiter

    def update(self, input_dict: dict[str, float | torch.Tensor] | None) -> None:
        """Add one value for each name; None is ignored.

        Raises:
            TypeError: if ``input_dict`` is not a dictionary.
        """
        if input_dict is None:
            return
        if not isinstance(input_dict, dict):
            raise TypeError(f"MetricMeter.update takes a dictionary of numbers, got {type(input_dict).__name__}")
        for name, value in input_dict.items():
            self.meters.setdefault(name, AverageMeter()).update(value)

    def __str__(self) -> str:
        return self.delimiter.join(f"{name} {meter.val:.4f} ({meter.avg:.4f})" for name, meter in self.meters.items())
