"""Kernels that give the same bits every time, and which kinds of kernels a run has used."""

import os

import torch


def make_deterministic() -> None:
    """Use deterministic kernels only, no autotuning of cuDNN and no TF32; before CUDA is used for the first time."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def numerics() -> dict[str, bool]:
    """What is allowed to change the last bits of results between runs and cards."""
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32,
    }
