"""Packages that only some features need."""

import importlib
from types import ModuleType


def need(package: str, extra: str, purpose: str) -> ModuleType:
    """Import a package that an extra of the installation brings.

    >>> need("json", "none", "this example").__name__
    'json'

    Args:
        purpose: what needs it, as a sentence begins.

    Raises:
        ValueError: telling how to install it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ValueError(f'{purpose} needs {package.partition(".")[0]}: pip install "kdpl[{extra}]"') from error
