"""Safetensors copies of TorchScript weight files, because safetensors load by memory mapping, without parsing."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..atomic_files import atomic_path
from ..downloads import cache_dir
from ..fingerprints import sha256_of

CONVERTED_FROM = 10 * 2**20  # bytes; smaller files parse quickly
CHECKSUMS = "checksums"  # metadata key for checksums of the tensors


def converted(path: str | os.PathLike, read: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of a weight file, read from its copy in the cache, which is created if missing or damaged.

    Args:
        read: reads the original file.
    """
    if os.path.getsize(path) < CONVERTED_FROM:
        return dict(read())
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file

    copy = cache_dir() / "weights" / f"{sha256_of(path)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, ValueError), safe_open(copy, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dictionary
        if (file.metadata() or {}).get(CHECKSUMS) == _checksums(tensors):
            return tensors
    tensors = {name: tensor.detach().clone() for name, tensor in read().items()}
    with (
        contextlib.suppress(OSError),
        atomic_path(copy) as temporary,
    ):  # the cache may be full or read-only
        save_file(tensors, temporary, {CHECKSUMS: _checksums(tensors)})
    return tensors


def _checksums(tensors: Mapping[str, Tensor]) -> str:
    """Sums over the bits, which detect damage and are many times faster than a hash."""
    return json.dumps({name: _sum_of_words(tensor) for name, tensor in sorted(tensors.items())})


def _sum_of_words(tensor: Tensor) -> int:
    content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    n = len(content) // 8 * 8
    return int(content[:n].view("uint64").sum()) + int(content[n:].sum())
