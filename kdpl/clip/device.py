"""The compute device, its memory and its cores."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None

MEMORY_WHERE_UNKNOWN = 8 * 2**30
STATUS = Path("/proc/self/status")
MEMBERSHIP, CONTROL_GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device with this name; "auto" picks the first available of CUDA, Apple's MPS and the CPU.

    Raises:
        ValueError: if the name is not a device, or this machine does not have it.
    """
    if isinstance(device, torch.device):
        return device
    has_mps = hasattr(torch.backends, "mps") and torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    available = ["auto", "cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * has_mps
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in available:
        raise ValueError(f"device is {device!r}; choose from {', '.join(available)} on this machine.")
    return resolved


def device_name(device: torch.device) -> str:
    """The name of the GPU, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def reset_peak_memory() -> None:
    """Start a new phase for :func:`peak_memory`."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    elif STATUS.is_file():
        with contextlib.suppress(OSError):  # some containers do not allow it
            STATUS.with_name("clear_refs").write_text("5")


def peak_memory() -> int:
    """Peak in bytes of GPU memory or, without a GPU, of the whole process; 0 if unknown.

    Covers the current phase or, with neither a GPU nor Linux, the time since the process started.
    """
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    if found := memory_status("VmHWM"):
        return found
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_status(name: str) -> int:
    """A number of bytes that Linux reports for this process, such as VmRSS (memory in use); 0 on other systems."""
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def n_cores() -> int:
    """Number of cores available to this process, which on a cluster may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_memory() -> int:
    """Bytes of memory that this process may use, or a conservative guess if the system does not report it."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = MEMORY_WHERE_UNKNOWN
    return min([memory, *_limits_of_control_groups()])


def _limits_of_control_groups() -> Iterator[int]:
    """Bytes of memory that containers and cluster jobs may use, by their control groups of version 1 or 2."""
    limits = {  # by the controllers of a line: none in version 2
        "": (CONTROL_GROUPS, "memory.max"),
        "memory": (CONTROL_GROUPS / "memory", "memory.limit_in_bytes"),
    }
    for line in MEMBERSHIP.read_text().splitlines() if MEMBERSHIP.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers not in limits:
            continue
        folder, name = limits[controllers]
        group = Path(path.strip("/"))
        for part in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                yield int((folder / part / name).read_text())


def total_memory(device: torch.device) -> int:
    """Bytes of a card, or of the machine."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else machine_memory()
