"""Commands beside training: `python -m tools.<name>`."""

import importlib.util

if importlib.util.find_spec("torchvision"):  # without packages `python -m tools.doctor` must still say what is missing
    import compat  # noqa: F401  before anything that imports torchvision or dassl
