"""How much memory a computation takes."""

import contextlib
import ctypes
import gc
from collections.abc import Callable
from typing import Any

import torch

from ..clip.device import memory_status, peak_memory, reset_peak_memory


def peak_bytes(function: Callable[[], Any], device: torch.device) -> int:
    """Bytes at the peak of a function, beyond what was in use before it; 0 where nothing tells."""
    gc.collect()
    before = _in_use(device)
    reset_peak_memory()
    function()
    return max(0, peak_memory() - before) if before else 0


def _in_use(device: torch.device) -> int:
    """Bytes of the card, or of the process after what it has freed went back to the system."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with contextlib.suppress(OSError, AttributeError):  # glibc's
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return memory_status("VmRSS")
