"""Learning rate per epoch from the ``OPTIM`` node: a schedule with an optional warm-up."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from yacs.config import CfgNode


class EpochScheduler:
    """Sets an optimizer's learning rates as a function of the epoch, counted from 0.

    Args:
        optimizer: its rates are immediately set to those of epoch 0.
        rate: (epoch, full rate of the parameter group) -> rate.
    """

    def __init__(self, optimizer: Optimizer, rate: Callable[[int, float], float]):
        self.optimizer = optimizer
        self.rate = rate
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set_rates()

    def step(self) -> None:
        """Advance to the next epoch."""
        self.last_epoch += 1
        self._set_rates()

    def get_last_lr(self) -> list[float]:
        """The rate of each parameter group in the current epoch."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        """Plain numbers only, so that loading a checkpoint runs no code."""
        return {"last_epoch": self.last_epoch, "base_lrs": self.base_lrs}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore a state returned by ``state_dict``."""
        self.last_epoch, self.base_lrs = state_dict["last_epoch"], state_dict["base_lrs"]
        self._set_rates()

    def _set_rates(self) -> None:
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(self.last_epoch, base_lr)


def build_lr_scheduler(optimizer: Optimizer, optim_cfg: CfgNode) -> EpochScheduler:
    """The schedule that ``optim_cfg`` describes, to be stepped once per epoch.

    After a warm-up the schedule starts at its epoch 0. Without ``WARMUP_RECOUNT`` it starts, still from the full rate,
    at epoch ``WARMUP_EPOCH``.

    Args:
        optimizer: its current rates are the full rates.
        optim_cfg: the ``OPTIM`` node.

    Raises:
        ValueError: if ``LR_SCHEDULER``, ``STEPSIZE`` or ``WARMUP_TYPE`` is invalid.
    """
    warmup_epochs = max(optim_cfg.WARMUP_EPOCH, 0)
    start = 0 if optim_cfg.WARMUP_RECOUNT else warmup_epochs
    decay = _decay(optim_cfg, start)
    if warmup_epochs and optim_cfg.WARMUP_TYPE not in ("constant", "linear"):
        raise ValueError(f"OPTIM.WARMUP_TYPE is {optim_cfg.WARMUP_TYPE!r}; must be 'constant' or 'linear'")

    def rate(epoch: int, base_lr: float) -> float:
        if epoch >= warmup_epochs:
            return base_lr * decay(epoch - warmup_epochs + start)
        if optim_cfg.WARMUP_TYPE == "constant":
            return optim_cfg.WARMUP_CONS_LR
        return base_lr * epoch / warmup_epochs if epoch else optim_cfg.WARMUP_MIN_LR

    return EpochScheduler(optimizer, rate)


def _decay(node: CfgNode, start: int) -> Callable[[int], float]:
    """Factor applied to the full rate, as a function of the schedule's epoch; 1 at epoch ``start``."""
    stepsize, gamma, max_epoch = node.STEPSIZE, node.GAMMA, node.MAX_EPOCH
    if node.LR_SCHEDULER == "single_step":
        period = stepsize[-1] if isinstance(stepsize, list | tuple) else stepsize
        if not isinstance(period, int):
            raise ValueError(f"OPTIM.STEPSIZE is {stepsize!r}; single_step takes a whole number of epochs")
        period = period if period > 0 else max_epoch
        return lambda epoch: gamma ** (epoch // period - start // period)
    if node.LR_SCHEDULER == "multi_step":
        if not isinstance(stepsize, list | tuple):
            raise ValueError(f"OPTIM.STEPSIZE is {stepsize!r}; multi_step takes a list of epochs")
        return lambda epoch: gamma ** sum(start < milestone <= epoch for milestone in stepsize)
    if node.LR_SCHEDULER == "cosine":

        def height(epoch: int) -> float:
            return 1 + math.cos(math.pi * epoch / max_epoch)

        return lambda epoch: height(epoch) / height(start) if epoch > start else 1.0  # height(max_epoch) is 0
    raise ValueError(f"OPTIM.LR_SCHEDULER is {node.LR_SCHEDULER!r}; must be 'single_step', 'multi_step' or 'cosine'")
