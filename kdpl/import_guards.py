"""Imports that work around defects of other packages.

torchvision: a CUDA build cannot load its native operators with a CPU build of torch. We need none of them, but the
import registers their shapes with torch, and torch raises an error for operators that do not exist.

clip: it imports `packaging` from `pkg_resources`. setuptools 82 no longer has that module, setuptools 70.0 has it
without `packaging`, and some environments have no setuptools at all.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

# The functions with which torch 2.1 to 2.13 register an operator's shapes; each version has some of them.
_REGISTRATION_FUNCTIONS = [
    ("torch.library", "register_fake"),
    ("torch.library", "impl_abstract"),
    ("torch._custom_ops", "impl_abstract"),
]


def import_torchvision() -> None:
    """Import torchvision, even if its native operators are missing."""
    if "torchvision" in sys.modules:
        return
    with _ignore_missing_operators():
        importlib.import_module("torchvision")


def import_clip() -> ModuleType:
    """Import ``clip`` whichever setuptools is installed, if any, and with the guard for torchvision."""
    if "clip" in sys.modules:
        return sys.modules["clip"]
    import_torchvision()
    with _replace_pkg_resources():
        return importlib.import_module("clip")


@contextmanager
def _replace_pkg_resources() -> Iterator[None]:
    """Within the block, `from pkg_resources import packaging` works without setuptools."""
    try:
        packaging = importlib.import_module("packaging")
        importlib.import_module("packaging.version")
    except ModuleNotFoundError:  # fall back on the copy inside older versions of setuptools
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
def _ignore_missing_operators() -> Iterator[None]:
    """Within the block, registering a missing torchvision operator does nothing."""
    replaced = []
    try:
        for module_name, function_name in _REGISTRATION_FUNCTIONS:
            module = importlib.import_module(module_name)
            original = getattr(module, function_name, None)
            if original is not None:
                setattr(module, function_name, _skip_missing(original))
                replaced.append((module, function_name, original))
        yield
    finally:
        for module, function_name, original in replaced:
            setattr(module, function_name, original)


def _skip_missing(register: Callable) -> Callable:
    def register_if_present(op, *args, **kwargs):
        if _is_missing_torchvision_operator(op):
            return lambda function: function  # used as a decorator
        return register(op, *args, **kwargs)

    return register_if_present


def _is_missing_torchvision_operator(op: object) -> bool:
    if not isinstance(op, str) or not op.startswith("torchvision::"):
        return False
    return not hasattr(torch.ops.torchvision, op.removeprefix("torchvision::").split(".")[0])
