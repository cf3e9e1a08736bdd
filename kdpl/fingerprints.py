"""Hashes of plain values, tensors and files."""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch


def fingerprint(content: Any) -> str:
    """SHA-256 of plain values, through their JSON."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def tensors_fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of names, types, shapes and values; independent of the device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; an unchanged file is read only once per process."""
    stat = os.stat(path)
    return _sha256_of_version(os.path.abspath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=1000)
def _sha256_of_version(path: str, *version: int) -> str:
    return hash_of(path, "sha256")


def hash_of(path: str | os.PathLike, kind: str) -> str:
    """The hash of a file's bytes, in hexadecimal."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
