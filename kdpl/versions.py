"""Versions of this package and of everything that results depend on."""

import platform
from importlib import metadata

__version__ = "0.2.0"
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "clip-anytorch", "open-clip-torch", "dassl")


def versions() -> dict[str, str]:
    """Versions of Python, the system, this package and the libraries that results depend on."""
    import torch  # here, as setup reads __version__ without it

    found = {"python": platform.python_version(), "system": platform.platform(), "kdpl": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | {"torch": str(torch.__version__)}  # names the CUDA build, which the package's metadata may not
