"""The order in which images are drawn."""

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
        ValueError: if there is none of that name.
    """
    if sampler_type not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler_type!r}; known are {list(SAMPLERS)}; Dassl itself has more")
    return SAMPLERS[sampler_type](data_source)
