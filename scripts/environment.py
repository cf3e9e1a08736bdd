"""What env.sh asks a Python about its environment.

    python scripts/environment.py key FILES            a line that changes whenever something is installed; fast
    python scripts/environment.py check FILES          imports everything; prints torch and device, or what is missing
    python scripts/environment.py check-to-run FILES   the same without packages that few runs need, such as open_clip

FILES is requirements.txt or requirements.txt,requirements-dev.txt.
"""

import hashlib
import importlib
import os
import platform
import re
import runpy
import sys
import sysconfig
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = {  # for packages that are imported under another name
    "pillow": "PIL",
    "clip-anytorch": "clip",
    "open-clip-torch": "open_clip",
    "huggingface-hub": "huggingface_hub",
    "pytest-xdist": "xdist",
    "scikit-learn": "sklearn",
    "mkdocs-material": "material",
}
NOT_NEEDED_TO_RUN = {"open-clip-torch", "huggingface-hub", "setuptools", "submitit", "scikit-learn"}


def key(files: str) -> str:
    """A line that changes with the requirements, the interpreter, and whatever is installed or removed."""
    requirements = hashlib.sha256("".join(requirement_lines(files)).encode()).hexdigest()
    folder = sysconfig.get_path("purelib")
    changed = os.stat(folder).st_mtime_ns if os.path.isdir(folder) else 0
    return f"{files} {requirements} {platform.python_version()} {changed}"


def missing(names: list[str]) -> list[str]:
    """Packages whose modules cannot be imported, with the reasons."""
    faults, guards = [], import_guards()
    for name in names:
        try:
            if name in guards:
                guards[name]()
            else:
                importlib.import_module(MODULES.get(name, name))
        except Exception as error:  # a broken package may raise anything
            reason = str(error).strip().splitlines() or [""]
            faults.append(f"{name} ({type(error).__name__}: {reason[0]})")
    return faults


def import_guards() -> dict[str, Callable[[], object]]:
    """How to import packages that fail on some machines; empty without torch, which the guards need."""
    try:  # run as a file, because importing kdpl needs everything that is checked here
        guards = runpy.run_path(str(ROOT / "kdpl" / "import_guards.py"))
    except Exception:  # torch is one of the packages, so any problem with it is reported there
        return {}
    return {"torchvision": guards["import_torchvision"], "clip-anytorch": guards["import_clip"]}


def requirement_lines(files: str) -> list[str]:
    return [line for file in files.split(",") for line in (ROOT / file).read_text(encoding="utf-8").splitlines(True)]


def packages(files: str) -> list[str]:
    """The names in the requirements."""
    return [match[0] for line in requirement_lines(files) if (match := re.match(r"[\w-]+", line))]


def torch_and_device() -> str:
    import torch

    if torch.cuda.is_available():
        device = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    else:
        device = f"no GPU, CPU with {torch.get_num_threads()} threads"
    return f"Python {platform.python_version()}, torch {torch.__version__}, {device}"


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in ("key", "check", "check-to-run"):
        print(__doc__, file=sys.stderr)
        return 2
    command, files = sys.argv[1:]
    if command == "key":
        print(key(files))
        return 0
    sys.path.insert(0, str(ROOT))
    warnings.simplefilter("ignore")
    not_needed = NOT_NEEDED_TO_RUN if command == "check-to-run" else ()
    faults = missing([name for name in packages(files) if name not in not_needed])
    if faults:
        print("  " + "\n  ".join(faults))
        return 1
    print(torch_and_device())
    return 0


if __name__ == "__main__":
    sys.exit(main())
