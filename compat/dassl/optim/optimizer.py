"""Optimizers from the ``OPTIM`` node."""

import warnings
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
        param_groups: optimised in place of ``model``'s parameters; ``STAGED_LR`` is then ignored.

    Raises:
        ValueError: if ``NAME`` is unknown, or ``NEW_LAYERS`` names no layer of the model.
        TypeError: if ``STAGED_LR`` is set and ``model`` is not a module.
    """
    makers = _optimizer_makers(optim_cfg)
    if optim_cfg.NAME not in makers:
        raise ValueError(f"OPTIM.NAME is {optim_cfg.NAME!r}; known are {list(makers)}")
    if param_groups is not None:
        if optim_cfg.STAGED_LR:
            warnings.warn("OPTIM.STAGED_LR is ignored where parameter groups are given", stacklevel=2)
        parameters = param_groups
    elif optim_cfg.STAGED_LR:
        parameters = _staged_groups(model, optim_cfg)
    else:
        parameters = model.parameters() if isinstance(model, nn.Module) else model
    return makers[optim_cfg.NAME](parameters, lr=optim_cfg.LR, weight_decay=optim_cfg.WEIGHT_DECAY)


def _optimizer_makers(node: CfgNode) -> dict[str, Callable[..., torch.optim.Optimizer]]:
    """By name: a function of parameters, ``lr`` and ``weight_decay``."""
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


def _staged_groups(model: nn.Module, node: CfgNode) -> list[dict]:
    """Two parameter groups: pre-trained layers at ``LR * BASE_LR_MULT``, then ``NEW_LAYERS`` at ``LR``."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"OPTIM.STAGED_LR needs a module with named layers, got {type(model).__name__}")
    if isinstance(model, nn.DataParallel):
        model = model.module
    new_layers = [node.NEW_LAYERS] if isinstance(node.NEW_LAYERS, str) else list(node.NEW_LAYERS)
    children = dict(model.named_children())
    unknown = [name for name in new_layers if name not in children]
    if unknown or not new_layers:
        raise ValueError(
            f"OPTIM.STAGED_LR is set and OPTIM.NEW_LAYERS is {new_layers}; name some of the layers {list(children)}"
        )
    base, new = [], []
    for name, child in children.items():
        (new if name in new_layers else base).extend(child.parameters())
    return [{"params": base, "lr": node.LR * node.BASE_LR_MULT}, {"params": new}]
