"""Batches that are prepared on a GPU while the step before them is computed."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Any]


def one_ahead(batches: Iterable[Batch], prepare: Callable[[Batch], Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches; on CUDA each is made on a stream of its own while the step before it runs.

    The host never waits: it puts the frozen towers' work for the next batch beside the step, and has the step's stream
    wait for its own batch on the device.

    Args:
        batches: what makes them puts its work on the current stream.
        prepare: adds what else can be known before the step; not called elsewhere than on CUDA, where it saves nothing.
    """
    if device.type != "cuda":
        yield from batches
        return
    stream, iterator = torch.cuda.Stream(device), iter(batches)
    stream.wait_stream(torch.cuda.current_stream(device))  # where the towers' weights came from

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
                tensor.record_stream(current)  # its memory belongs to the other stream
        yield batch


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among values, and those in tuples among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple):
            yield from _tensors(value)


class HostCounts:
    """Numbers on their way to the host, which waits for them only if they are asked for too early."""

    def __init__(self, on_device: Tensor):
        self._counts = torch.empty(on_device.shape, dtype=on_device.dtype, pin_memory=on_device.is_cuda)
        self._counts.copy_(on_device, non_blocking=True)
        self._arrived = torch.cuda.current_stream().record_event() if on_device.is_cuda else None

    def tolist(self) -> list[int]:
        """The numbers."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._counts.tolist()
