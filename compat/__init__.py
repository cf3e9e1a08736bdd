"""What an untouched machine lacks: an import of torchvision that works, and the part of Dassl used here.

``import compat`` before anything that imports torchvision or ``dassl``; it does its work once.
"""

import importlib.util
import sys
from pathlib import Path

from kdpl.import_guards import import_torchvision

import_torchvision()
if importlib.util.find_spec("dassl") is None:  # an installed Dassl is used as it is
    sys.path.append(str(Path(__file__).parent))
