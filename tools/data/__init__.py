"""The benchmarks on disk: fetching, checking and repairing them."""

import compat  # noqa: F401  before anything that imports torchvision or dassl
