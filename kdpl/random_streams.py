"""Random streams that depend only on names and numbers, not on what was drawn before."""

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream_seed(*names: int | str) -> int:
    """A seed from 0 to 2**32 - 1 for the random stream with this name, such as ("order", seed, epoch).

    >>> stream_seed("order", 1, 0) == stream_seed("order", 1, 0) != stream_seed("order", 1, 1)
    True
    """
    return zlib.crc32("/".join(map(str, names)).encode())


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Within the block, start the generators of torch (CPU) and Python from a seed; their states return afterwards."""
    states = random.getstate(), torch.default_generator.get_state()
    try:
        torch.default_generator.manual_seed(seed)  # faster than torch.manual_seed
        random.seed(seed)
        yield
    finally:
        random.setstate(states[0])
        torch.default_generator.set_state(states[1])
