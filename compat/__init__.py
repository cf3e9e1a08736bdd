"""Makes torchvision and ``dassl`` importable on any machine: a guarded import, and our substitute for Dassl.

``import compat`` before anything that imports torchvision or ``dassl``.
"""

import importlib.util
import sys
from pathlib import Path

from kdpl.import_guards import import_torchvision

import_torchvision()
if importlib.util.find_spec("dassl") is None:  # an installed Dassl takes precedence
    sys.path.append(str(Path(__file__).parent))
