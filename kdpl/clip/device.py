"""Which device the computation runs on."""

import torch


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device that a name stands for; "auto" picks CUDA, Apple's MPS or the CPU, whichever comes first.

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
