"""Imports that survive what other packages get wrong on some machines.

torchvision: one built for CUDA cannot load its native operators beside a CPU build of torch. It does without, except
that it describes its operators to torch while it is imported, and torch refuses to describe those that do not exist.

clip: it takes `packaging` from `pkg_resources`. setuptools 82 no longer has that module, setuptools 70.0 has it without
`packaging`, and environments need not have setuptools at all.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

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


def import_clip() -> ModuleType:
    """The module ``clip``, imported with torchvision's guard and whatever setuptools there is, or none."""
    if "clip" in sys.modules:
        return sys.modules["clip"]
    import_torchvision()
    with _pkg_resources_replaced():
        return importlib.import_module("clip")


@contextmanager
def _pkg_resources_replaced() -> Iterator[None]:
    """Within the block, `from pkg_resources import packaging` works and imports nothing of setuptools."""
    try:
        packaging = importlib.import_module("packaging")
        importlib.import_module("packaging.version")
    except ModuleNotFoundError:  # the copy that older versions of setuptools carry has to do
        yield
        return
    stand_in = ModuleType("pkg_resources")
    stand_in.packaging = packaging
    original = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]
        if original is not None:
            sys.modules["pkg_resources"] = original


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
