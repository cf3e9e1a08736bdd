"""Runs before a CoOp checkout's own train.py, with this folder on PYTHONPATH: supplies what a test machine lacks.

No file of CoOp, Dassl or KDPL is changed by it; a user's environment has these things.
"""

import importlib.util
import os
import sys
import types
from pathlib import Path

import torch

_file = Path(__file__).parents[2] / "kdpl" / "import_guards.py"  # without `kdpl`: a checkout has its own copy
_spec = importlib.util.spec_from_file_location("import_guards", _file)
_guard = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_guard)
_guard.import_torchvision()

# Packages that stock Dassl imports for datasets which nothing here uses.
for _name in ("wilds", "pandas", "gdown"):
    if importlib.util.find_spec(_name) is None:
        sys.modules[_name] = types.ModuleType(_name)
        sys.modules[_name].__getattr__ = lambda attribute: type(attribute, (), {})

# Some trainers ask for a GPU or for half precision whatever their settings; a CPU, or an old torch on one, has neither.
if "CPU_AND_FLOAT32" in os.environ:
    for _class in (torch.Tensor, torch.nn.Module):
        _class.cuda = _class.half = lambda self, *arguments, **options: self

# CoOp's own trainers know CLIPs by name only: one more name in that table, with the address of a local file.
if "CLIP_CALLED_TINY" in os.environ:
    from clip import clip

    clip._MODELS["tiny"] = os.environ["CLIP_CALLED_TINY"]
