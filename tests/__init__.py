"""Tests mirror the source tree; `python -m tests.parity` runs golden files."""

import compat  # noqa: F401  before anything that imports torchvision or dassl
