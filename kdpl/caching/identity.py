"""Identities of images, transforms and devices, for features that depend on them."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import PIL
import torch

from ..determinism import numerics


def identify_images(paths: Sequence[Any], root: str | os.PathLike | None = None) -> list[list[Any]] | None:
    """Path relative to ``root``, size and modification time of each image; None unless all are files.

    Args:
        root: folder of the dataset; by default the deepest folder that contains all images.
    """
    if not len(paths) or not all(isinstance(path, str | os.PathLike) for path in paths):
        return None
    if root is None:
        root = os.path.commonpath([os.path.abspath(os.path.dirname(path)) for path in paths])
    root = os.path.abspath(os.path.expanduser(root))
    found = []
    for path in paths:
        status = os.stat(path)
        found.append([os.path.relpath(path, root), status.st_size, status.st_mtime_ns])
    return found


def identify_transform(transform: Callable) -> dict[str, str] | None:
    """The transform's repr and the versions of its libraries; None if the repr does not identify it."""
    described = repr(transform)
    if " at 0x" in described or "<lambda>" in described:
        return None
    return {"transform": described, "pillow": PIL.__version__, "torchvision": version("torchvision")}


def identify_device(device: torch.device) -> dict[str, Any]:
    """Everything that affects the last bits of a feature, apart from the tower and its input."""
    if device.type == "cuda":
        kind = {"device": torch.cuda.get_device_name(device), **numerics()}
    else:
        kind = {"device": f"{device.type} {_cpu()}", "threads": torch.get_num_threads()}
    return kind | {"torch": torch.__version__}


@cache
def _cpu() -> str:
    """Family, model and instruction set of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().split("\n\n")[0].splitlines() if file.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    known = [facts[key] for key in ("model name", "cpu family", "model") if key in facts]
    return " ".join([*known, torch.backends.cpu.get_cpu_capability()])
