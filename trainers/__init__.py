"""The trainers; importing this package registers them with Dassl."""

import compat  # noqa: F401  makes `dassl` and `torchvision` importable where they are not

from . import (  # noqa: F401
    cocoop,
    cocoop_kdpl,
    coop,
    coop_kdpl,
    kgcoop,
    kgcoop_kdpl,
    maple,
    maple_kdpl,
    promptsrc,
    promptsrc_kdpl,
    vpt,
    vpt_kdpl,
    zeroshot,
)
