"""Timing functions on a device, and its peak speed for matrix products."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch

CEILING_SIDE = {"cuda": 8192, "cpu": 1536}  # size of square matrices large enough to keep the device busy


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved_seconds(
    functions: Sequence[Callable[[], Any]],
    n: int,
    device: torch.device,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Median seconds of each function; they are called in turn, so that disturbances affect all alike.

    >>> one, two = interleaved_seconds([lambda: sum(range(10)), lambda: sum(range(10**6))], 3, torch.device("cpu"))
    >>> one < two
    True
    """
    for _ in range(warm_up):
        for function in functions:
            function()
    seconds = [[] for _ in functions]
    for _ in range(n):
        for function, times in zip(functions, seconds, strict=True):
            synchronise(device)
            start = clock()
            function()
            synchronise(device)
            times.append(clock() - start)
    return [median(times) for times in seconds]


def matrix_ceiling(
    device: torch.device, dtype: torch.dtype, n: int = 5, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Floating-point operations per second of a large matrix product, an upper bound for any tower."""
    side = CEILING_SIDE.get(device.type, 2048)
    matrix = torch.randn(side, side, device=device).to(dtype)
    (seconds,) = interleaved_seconds([lambda: matrix @ matrix], n, device, warm_up=2, clock=clock)
    return 2 * side**3 / seconds
