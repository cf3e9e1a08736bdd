"""Optimizers built from the ``OPTIM`` node."""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from yacs.config import CfgNode


def build_optimizer(
    model: nn.Module | Iterable, optim_cfg: CfgNode, param_groups: Iterable | None = None
) -> torch.optim.Optimizer:
    """The optimizer that ``optim_cfg`` describes.

    Args:
        model: a module, parameters or parameter groups.
        optim_cfg: the ``OPTIM`` node.
        param_groups: parameter groups to use instead of ``model``'s parameters.

    Raises:
        ValueError: if ``NAME`` is unknown, or ``STAGED_LR`` is set.
    """
    makers = _optimizer_makers(optim_cfg)
    if optim_cfg.NAME not in makers:
        raise ValueError(f"OPTIM.NAME is {optim_cfg.NAME!r}; must be one of {list(makers)}")
    if optim_cfg.STAGED_LR:
        raise ValueError("OPTIM.STAGED_LR is set; this engine has no layer-wise learning rates: install Dassl for them")
    parameters = model.parameters() if isinstance(model, nn.Module) else model
    parameters = parameters if param_groups is None else param_groups
    return makers[optim_cfg.NAME](parameters, lr=optim_cfg.LR, weight_decay=optim_cfg.WEIGHT_DECAY)


def _optimizer_makers(node: CfgNode) -> dict[str, Callable[..., torch.optim.Optimizer]]:
    """Maps each name to a function of parameters, ``lr`` and ``weight_decay``."""
    betas = (node.ADAM_BETA1, node.ADAM_BETA2)
    return {
        "adam": lambda parameters, **common: torch.optim.Adam(parameters, betas=betas, **common),
        "amsgrad": lambda parameters, **common: torch.optim.Adam(parameters, betas=betas, amsgrad=True, **common),
        "sgd": lambda parameters, **common: torch.optim.SGD(
            parameters,
            momentum=node.MOMENTUM,
            dampening=node.SGD_DAMPNING,
            nesterov=node.SGD_NESTEROV,
            **common,
        ),
        "rmsprop": lambda parameters, **common: torch.optim.RMSprop(
            parameters, momentum=node.MOMENTUM, alpha=node.RMSPROP_ALPHA, **common
        ),
        "radam": lambda parameters, **common: torch.optim.RAdam(parameters, betas=betas, **common),
        "adamw": lambda parameters, **common: torch.optim.AdamW(parameters, betas=betas, **common),
    }
