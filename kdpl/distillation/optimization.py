"""Optimizers and the learning rate schedule."""

import math
from collections.abc import Iterable

import torch
from torch import nn

OPTIMIZERS = ("sgd", "adam", "adamw")


def build_optimizer(
    parameters: Iterable[nn.Parameter], name: str, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer called ``name``; ``momentum`` applies to SGD only.

    Raises:
        ValueError: if the name is unknown.
    """
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    raise ValueError(f"optimizer is {name!r}; choose from {', '.join(OPTIMIZERS)}.")


def with_fused_kernels(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The same optimizer; SGD on CUDA takes each step with a single fused kernel, if this version of torch has it.

    On a CPU the plain kernels stay: fused ones round differently and save no launches there.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    is_sgd = type(optimizer) is torch.optim.SGD and "fused" in optimizer.defaults
    if not is_sgd or not all(parameter.is_cuda for parameter in parameters):
        return optimizer
    one_kernel = {"fused": True, "foreach": False}
    groups = [group | one_kernel for group in optimizer.param_groups]
    return torch.optim.SGD(groups, **(optimizer.defaults | one_kernel))


class CosineWithWarmup:
    """Warm-up epochs at a constant rate, followed by a cosine over all epochs; stepped once per epoch."""

    def __init__(self, optimizer: torch.optim.Optimizer, n_epochs: int, warmup_epochs: int, warmup_lr: float):
        self.optimizer = optimizer
        self.lr = optimizer.param_groups[0]["lr"]
        self.n_epochs, self.warmup_epochs, self.warmup_lr = n_epochs, warmup_epochs, warmup_lr
        self.epoch = 0
        self._set_rate()

    def step(self) -> None:
        """Advance to the next epoch."""
        self.epoch += 1
        self._set_rate()

    def _set_rate(self) -> None:
        after_warmup = self.epoch - self.warmup_epochs
        rate = self.warmup_lr
        if after_warmup >= 0:
            rate = self.lr * ((1 + math.cos(math.pi * after_warmup / self.n_epochs)) / 2)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
