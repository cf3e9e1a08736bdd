"""Command-line tools other than training: `python -m tools.<name>`."""

import importlib.util

if importlib.util.find_spec("torchvision"):  # `python -m tools.doctor` must run without packages
    import compat  # noqa: F401  before anything that imports torchvision or dassl
