"""Samplers: the order in which images are loaded."""

from collections.abc import Sequence

from torch.utils.data import RandomSampler, Sampler, SequentialSampler
from yacs.config import CfgNode

from .datasets import Datum

SAMPLERS = {"RandomSampler": RandomSampler, "SequentialSampler": SequentialSampler}


def build_sampler(
    sampler_type: str, cfg: CfgNode | None = None, data_source: Sequence[Datum] | None = None, **unused: int
) -> Sampler:
    """The sampler called ``sampler_type``.

    Raises:
        ValueError: if there is no such sampler.
    """
    if sampler_type not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler_type!r}; supported are {list(SAMPLERS)}; install Dassl for others")
    return SAMPLERS[sampler_type](data_source)
