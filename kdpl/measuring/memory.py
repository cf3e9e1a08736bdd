"""Measuring the peak memory of a computation."""

import contextlib
import ctypes
import gc
from collections.abc import Callable
from typing import Any

import torch

from ..clip.device import memory_status, peak_memory, reset_peak_memory


def peak_bytes(function: Callable[[], Any], device: torch.device) -> int:
    """Peak memory of a function in bytes, beyond the memory already in use; 0 if unknown."""
    gc.collect()
    before = _in_use(device)
    reset_peak_memory()
    function()
    return max(0, peak_memory() - before) if before else 0


def _in_use(device: torch.device) -> int:
    """Bytes in use, on the GPU or by the process, after returning freed memory to the system."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with contextlib.suppress(OSError, AttributeError):  # malloc_trim exists only in glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return memory_status("VmRSS")
