"""Tensors that take long to compute, kept on disk between processes."""

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
    """What ``compute`` returns, from the cache if it is there; a file that is damaged or wrong is made again.

    Args:
        kind: name of the folder below the cache.
        key: plain values that the tensor depends on.
        is_right: a last look at a tensor from a file, such as at its shape.

    Returns:
        A tensor on the CPU where it comes from a file, else as computed.
    """
    file = cache_file(kind, key)
    tensor = read_cached(file, kind, is_right)
    if tensor is None:
        tensor = compute()
        write_cached(file, kind, tensor)
    return tensor


def cache_file(kind: str, key: object) -> Path:
    """Where the tensor of this kind and key is kept."""
    return cache_dir() / kind / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.pth"


def read_cached(file: Path, kind: str, is_right: Callable[[Tensor], bool]) -> Tensor | None:
    """The tensor of a file; None where there is no such file, or it is damaged."""
    if not file.exists():
        return None
    try:
        check_tensors_file(file, "cached tensor")
        content = torch.load(file, weights_only=True)
        tensor = content[kind]
        # Files of earlier versions have no hash.
        whole = content.get("sha256") in (None, tensors_fingerprint({kind: tensor}))
        if whole and is_right(tensor) and bool(tensor.isfinite().all()):
            return tensor
    except (OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, pickle.PickleError):
        pass  # however a file that was cut off or overwritten fails
    print(f"{file} is damaged: what it held is computed again")
    return None


def write_cached(file: Path, kind: str, tensor: Tensor) -> None:
    """Write the file of a tensor, whole or not at all; a cache that is full or read-only is no fault."""
    try:
        with atomic_path(file) as temporary:
            torch.save({kind: tensor.cpu(), "sha256": tensors_fingerprint({kind: tensor})}, temporary)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's, of a full disk
        reason = str(error).splitlines()[0]
        print(f"{file} cannot be written ({reason}): what it would hold is computed again the next time")
