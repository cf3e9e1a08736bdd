"""Random seeds, and a description of the machine for the log."""

import platform
import random
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch


def set_random_seed(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch, including all CUDA devices."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # CUDA devices too


def collect_env_info() -> str:
    """Platform, versions and devices, one per line."""
    lines = [
        f"Platform: {platform.platform()}",
        f"Python: {platform.python_version()}",
        f"torch: {torch.__version__} (CUDA {torch.version.cuda}, {torch.get_num_threads()} CPU threads)",
    ]
    for package in ("torchvision", "numpy", "Pillow"):
        try:
            lines.append(f"{package}: {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package}: not installed as a package")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        lines.append(f"GPU {index}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    return "\n".join(lines)
