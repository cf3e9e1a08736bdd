"""The datasets; importing this package registers every one of its modules with Dassl."""

import importlib
import pkgutil

import compat  # noqa: F401  makes `dassl` importable where it is not

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
