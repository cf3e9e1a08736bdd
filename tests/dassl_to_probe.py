"""Import Dassl, stock or ours, from the folder named on the command line."""

import functools
import importlib.util
import os
import sys
import types

import torch

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, sys.argv[1])
import compat  # noqa: E402, F401  torchvision

# What stock Dassl needs on a current machine: packages for datasets that are not used here, a removed argument of
# torch's schedulers, and its own checkpoints loaded as pickles.
_absent = [name for name in ("wilds", "pandas") if importlib.util.find_spec(name) is None]
sys.modules.update({name: types.SimpleNamespace(get_dataset=None) for name in _absent})
_scheduler_init = torch.optim.lr_scheduler.LRScheduler.__init__
torch.optim.lr_scheduler.LRScheduler.__init__ = lambda self, optimizer, last_epoch=-1, verbose=None: _scheduler_init(
    self, optimizer, last_epoch
)
torch.load = functools.partial(torch.load, weights_only=False)  # unless the caller specifies it

import dassl.data  # noqa: E402, F401  while the missing packages are replaced
import dassl.engine  # noqa: E402, F401

for _name in _absent:
    del sys.modules[_name]
