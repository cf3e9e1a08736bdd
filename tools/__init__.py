"""Commands beside training: `python -m tools.<name>`."""

import compat  # noqa: F401  before anything that imports torchvision or dassl
