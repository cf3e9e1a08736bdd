"""Reimplementation of the part of Dassl's public API that CoOp-style trainers use.

Names, configuration keys, defaults, log lines and file names are those of Dassl (Zhou et al., "Domain Adaptive Ensemble
Learning", 2020; github.com/KaiyangZhou/Dassl.pytorch), so that a trainer runs on either. Not included: its datasets,
backbones, augmentations that torchvision lacks, samplers by domain or class, learning rates by layer, and the trainers
for domain adaptation, domain generalisation and semi-supervised learning.
"""

from contextlib import suppress

with suppress(ModuleNotFoundError):  # also works without kdpl
    from kdpl.import_guards import import_torchvision

    import_torchvision()  # before any other import, so that a CUDA build of torchvision loads with a CPU build of torch

__version__ = "0.6.3+kdpl"  # the Dassl release whose interface this follows
