"""What env.sh asks a Python about itself.

    python scripts/environment.py key             a line that changes when something is installed; takes milliseconds
    python scripts/environment.py check           imports everything: a line about torch and device, or what is missing
    python scripts/environment.py check-to-run    the same without what only tests and open_clip's teachers need
"""

import contextlib
import hashlib
import importlib
import os
import platform
import re
import sys
import sysconfig
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements.txt"
MODULES = {  # of the packages that are imported under another name
    "pillow": "PIL",
    "clip-anytorch": "clip",
    "setuptools": "pkg_resources",
    "open-clip-torch": "open_clip",
    "huggingface-hub": "huggingface_hub",
    "pytest-xdist": "xdist",
    "scikit-learn": "sklearn",
}
NOT_NEEDED_TO_RUN = {
    "pytest", "pytest-xdist", "ruff", "submitit", "scikit-learn", "open-clip-torch", "huggingface-hub",
}  # fmt: skip


def key() -> str:
    """Changes with requirements.txt, the interpreter, and whatever is installed or removed."""
    requirements = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    folder = sysconfig.get_path("purelib")
    changed = os.stat(folder).st_mtime_ns if os.path.isdir(folder) else 0
    return f"{requirements} {platform.python_version()} {changed}"


def missing(names: list[str]) -> list[str]:
    """The packages whose modules cannot be imported, each with the reason."""
    faults = []
    with contextlib.suppress(Exception):  # here only torchvision's guard counts; a torchvision without one is named
        importlib.import_module("compat")
    for name in names:
        try:
            importlib.import_module(MODULES.get(name, name))
        except Exception as error:  # a broken package may raise anything
            reason = str(error).strip().splitlines() or [""]
            faults.append(f"{name} ({type(error).__name__}: {reason[0]})")
    return faults


def packages() -> list[str]:
    """Names in requirements.txt."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [match[0] for line in lines if (match := re.match(r"[\w-]+", line))]


def torch_and_device() -> str:
    import torch

    if torch.cuda.is_available():
        device = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    else:
        device = f"no GPU, CPU with {torch.get_num_threads()} threads"
    return f"Python {platform.python_version()}, torch {torch.__version__}, {device}"


def main() -> int:
    if sys.argv[1] == "key":
        print(key())
        return 0
    sys.path.insert(0, str(ROOT))
    warnings.simplefilter("ignore")
    to_run = sys.argv[1] == "check-to-run"
    faults = missing([name for name in packages() if not (to_run and name in NOT_NEEDED_TO_RUN)])
    if faults:
        print("  " + "\n  ".join(faults))
        return 1
    print(torch_and_device())
    return 0


if __name__ == "__main__":
    sys.exit(main())
