"""Packages that only some need."""

import importlib
from types import ModuleType


def needed(module: str, package: str, engine: str) -> ModuleType:
    """Import a module for an engine.

    Raises:
        ValueError: if its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ValueError(
            f"--engine {engine} needs the package {package}, which is not installed: "
            "pip install -r requirements-cluster.txt"
        ) from error
