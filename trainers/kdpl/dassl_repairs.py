"""Repairs that let stock Dassl run on versions of torch newer than itself; a working Dassl is left unchanged."""

import inspect
from functools import partial
from typing import Any

import dassl
import torch
from dassl.config import get_cfg_default
from dassl.engine import SimpleTrainer
from dassl.optim import lr_scheduler
from dassl.utils import load_checkpoint
from torch.optim.lr_scheduler import LRScheduler, StepLR


def repair_dassl() -> None:
    """Repair what this version of torch has broken, and print one line about it.

    The objects themselves are patched, so that trainers imported earlier, such as a CoOp checkout's own, benefit too.
    """
    repaired = []
    if _warm_up_fails():
        base = lr_scheduler._BaseWarmupScheduler
        base.__bases__ = (_SchedulerTakingVerbose, *base.__bases__)
        repaired.append("its warm-up schedulers may pass `verbose`")
    if _checkpoints_are_refused():
        load_checkpoint.__globals__["torch"] = _TorchLoadingObjects()
        repaired.append("its load_checkpoint unpickles objects again (load only files that you trust)")
    if repaired:
        print(f"Dassl {dassl.__version__} repaired for torch {torch.__version__}: {', '.join(repaired)}.")


def fill_input_of_others() -> None:
    """Give other trainers Dassl's INPUT defaults instead of empty values, for which ours use the student's."""
    build, defaults = SimpleTrainer.__init__, get_cfg_default().INPUT

    def init(self: SimpleTrainer, cfg: Any) -> None:
        if not hasattr(type(self), "images"):
            cfg.INPUT.update({key: value for key, value in defaults.items() if not cfg.INPUT[key]})
        build(self, cfg)

    SimpleTrainer.__init__ = init


class _SchedulerTakingVerbose(LRScheduler):
    """torch's base class of schedulers, with an argument that was removed in 2.7."""

    def __init__(self, optimizer: torch.optim.Optimizer, last_epoch: int = -1, verbose: bool = False):
        super().__init__(optimizer, last_epoch)


def _warm_up_fails() -> bool:
    if "verbose" in inspect.signature(LRScheduler).parameters or not hasattr(lr_scheduler, "_BaseWarmupScheduler"):
        return False
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    try:
        lr_scheduler.ConstantWarmupScheduler(optimizer, StepLR(optimizer, 1), warmup_epoch=1, cons_lr=1.0)
    except TypeError:
        return True
    return False


class _TorchLoadingObjects:
    """The module torch with a ``load`` that reads arbitrary pickles by default, as before 2.6."""

    load = staticmethod(partial(torch.load, weights_only=False))

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _checkpoints_are_refused() -> bool:
    """Whether ``load_checkpoint`` uses torch's default, which since 2.6 refuses objects such as schedulers."""
    if torch.__version__ < (2, 6) or load_checkpoint.__globals__.get("torch") is not torch:
        return False
    return "weights_only" not in inspect.getsource(load_checkpoint)
