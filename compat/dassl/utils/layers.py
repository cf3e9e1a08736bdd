"""Which layers of a model train, and how many parameters it has."""

from collections.abc import Iterable

from torch import nn


def open_all_layers(model: nn.Module) -> None:
    """Put the whole model in training mode, with gradients."""
    model.train()
    model.requires_grad_(True)


def open_specified_layers(model: nn.Module, open_layers: str | list[str]) -> None:
    """Put the children named in ``open_layers`` in training mode with gradients, freeze the others in evaluation mode.

    Raises:
        ValueError: if the model has no child of that name.
    """
    if isinstance(model, nn.DataParallel):
        model = model.module
    open_layers = [open_layers] if isinstance(open_layers, str) else open_layers
    children = dict(model.named_children())
    for name in open_layers:
        if name not in children:
            raise ValueError(f"{name!r} is not a layer of {type(model).__name__}; its layers are {list(children)}")
    for name, child in children.items():
        child.train(name in open_layers)
        child.requires_grad_(name in open_layers)


def count_num_param(model: nn.Module | None = None, params: Iterable | None = None) -> int:
    """Number of values in a model's parameters, or in ``params``: tensors or parameter groups."""
    if model is not None:
        return sum(parameter.numel() for parameter in model.parameters())
    if params is None:
        raise ValueError("count_num_param needs a model or params")
    total = 0
    for entry in params:
        group = entry["params"] if isinstance(entry, dict) else entry
        total += sum(p.numel() for p in group) if isinstance(group, list | tuple) else group.numel()
    return total
