"""An import of torchvision that survives native operators which cannot be loaded.

A torchvision built for CUDA cannot load its library beside a CPU build of torch. It does without, except that it
describes its operators to torch while it is imported, and torch refuses to describe operators that do not exist.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# Where torch 2.1 to 2.13 keep the function that describes an operator; each torch has some of them.
_REGISTRATION_FUNCTIONS = [
    ("torch.library", "register_fake"),
    ("torch.library", "impl_abstract"),
    ("torch._custom_ops", "impl_abstract"),
]


def import_torchvision() -> None:
    """Import torchvision; where its native operators are absent, without them."""
    if "torchvision" in sys.modules:
        return
    with _absent_operators_tolerated():
        importlib.import_module("torchvision")


@contextmanager
def _absent_operators_tolerated() -> Iterator[None]:
    """Within the block, describing a torchvision operator that does not exist does nothing."""
    replaced = []
    try:
        for module_name, function_name in _REGISTRATION_FUNCTIONS:
            module = importlib.import_module(module_name)
            original = getattr(module, function_name, None)
            if original is not None:
                setattr(module, function_name, _tolerant(original))
                replaced.append((module, function_name, original))
        yield
    finally:
        for module, function_name, original in replaced:
            setattr(module, function_name, original)


def _tolerant(register: Callable) -> Callable:
    def register_if_present(op, *args, **kwargs):
        if _is_absent_torchvision_operator(op):
            return lambda function: function  # used as a decorator
        return register(op, *args, **kwargs)

    return register_if_present


def _is_absent_torchvision_operator(op: object) -> bool:
    if not isinstance(op, str) or not op.startswith("torchvision::"):
        return False
    return not hasattr(torch.ops.torchvision, op.removeprefix("torchvision::").split(".")[0])
