"""Disk cache for tensors that take long to compute."""

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..atomic_files import atomic_path
from ..downloads import cache_dir
from ..fingerprints import tensors_fingerprint
from ..outside import check_tensors_file


def cached_tensor(kind: str, key: object, compute: Callable[[], Tensor], is_right: Callable[[Tensor], bool]) -> Tensor:
    """The result of ``compute``, from the cache if possible; a damaged or wrong file is recomputed.

    Args:
        kind: name of the folder inside the cache.
        key: plain values that determine the tensor.
        is_right: final check of a tensor read from a file, such as its shape.

    Returns:
        A tensor from a file is on the CPU; otherwise it is as computed.
    """
    file = cache_file(kind, key)
    tensor = read_cached(file, kind, is_right)
    if tensor is None:
        tensor = compute()
        write_cached(file, kind, tensor)
    return tensor


def cache_file(kind: str, key: object) -> Path:
    """The file for a tensor of this kind and key."""
    return cache_dir() / kind / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.pth"


def read_cached(file: Path, kind: str, is_right: Callable[[Tensor], bool]) -> Tensor | None:
    """The tensor in a file; None if the file does not exist or is damaged."""
    if not file.exists():
        return None
    try:
        check_tensors_file(file, "cached tensor")
        content = torch.load(file, weights_only=True)
        tensor = content[kind]
        # Files from earlier versions have no hash.
        intact = content.get("sha256") in (None, tensors_fingerprint({kind: tensor}))
        if intact and is_right(tensor) and bool(tensor.isfinite().all()):
            return tensor
    except (OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, pickle.PickleError):
        pass  # all the ways in which a truncated or overwritten file fails
    print(f"{file} is damaged; recomputing its content")
    return None


def write_cached(file: Path, kind: str, tensor: Tensor) -> None:
    """Write a tensor to a file, atomically; if the cache is full or read-only, just print a notice."""
    try:
        with atomic_path(file) as temporary:
            torch.save({kind: tensor.cpu(), "sha256": tensors_fingerprint({kind: tensor})}, temporary)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError when the disk is full
        reason = str(error).splitlines()[0]
        print(f"{file} cannot be written ({reason}); its content will be recomputed next time")
