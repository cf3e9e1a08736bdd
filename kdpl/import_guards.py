"""Imports that survive what other packages get wrong on some machines.

torchvision: one built for CUDA cannot load its native operators beside a CPU build of torch. It does without, except
that it describes its operators to torch while it is imported, and torch refuses to describe those that do not exist.

clip: it takes `packaging` from `pkg_resources`, which setuptools 81 dropped.
"""

import importlib
import importlib.util
import sys
import warnings
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
    """The module ``clip``, imported with torchvision's guard and without `pkg_resources` where there is none."""
    if "clip" in sys.modules:
        return sys.modules["clip"]
    import_torchvision()
    with _pkg_resources_provided(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the deprecation of pkg_resources is not the user's
        return importlib.import_module("clip")


@contextmanager
def _pkg_resources_provided() -> Iterator[None]:
    """Within the block, `from pkg_resources import packaging` works."""
    if "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        yield
        return
    packaging = importlib.import_module("packaging")
    packaging.version = importlib.import_module("packaging.version")
    stand_in = ModuleType("pkg_resources")
    stand_in.packaging = packaging
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]


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
