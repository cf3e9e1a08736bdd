"""Preparing a batch on a GPU while the previous step is running."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Any]


def one_ahead(batches: Iterable[Batch], prepare: Callable[[Batch], Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the same batches; on CUDA, each is prepared on a separate stream while the previous step runs.

    The host never blocks: it queues the frozen towers' work for the next batch alongside the current step, and makes
    the step's stream wait on the device until its own batch is ready.

    Args:
        batches: an iterable that launches its work on the current stream.
        prepare: adds everything else that can be computed before the step; called only on CUDA, as it saves no time
            elsewhere.
    """
    if device.type != "cuda":
        yield from batches
        return
    stream, iterator = torch.cuda.Stream(device), iter(batches)
    stream.wait_stream(torch.cuda.current_stream(device))  # on which the towers' weights were copied

    def fetch() -> tuple[Batch, torch.cuda.Event] | None:
        with torch.cuda.stream(stream):
            batch = next(iterator, None)
            return None if batch is None else (prepare(batch), stream.record_event())

    coming = fetch()
    while coming is not None:
        (batch, ready), coming = coming, fetch()
        current = torch.cuda.current_stream(device)
        current.wait_event(ready)
        for tensor in _tensors(batch.values()):
            if tensor.is_cuda:
                tensor.record_stream(current)  # it was allocated on the other stream
        yield batch


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """All tensors among the values, including those inside tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple):
            yield from _tensors(value)


class HostCounts:
    """Numbers being copied to the host, which waits only if they are read before they have arrived."""

    def __init__(self, on_device: Tensor):
        self._counts = torch.empty(on_device.shape, dtype=on_device.dtype, pin_memory=on_device.is_cuda)
        self._counts.copy_(on_device, non_blocking=True)
        self._arrived = torch.cuda.current_stream().record_event() if on_device.is_cuda else None

    def tolist(self) -> list[int]:
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._counts.tolist()
