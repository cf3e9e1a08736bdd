"""The trainers; importing this package registers all of them with Dassl."""

import importlib
import pkgutil

import compat  # noqa: F401  makes `dassl` and `torchvision` importable on any machine

for _module in pkgutil.iter_modules(__path__):
    if not _module.ispkg:
        importlib.import_module(f"{__name__}.{_module.name}")
