"""The part of Dassl's public API that CoOp-style trainers use, written anew.

Names, configuration keys, defaults, log lines and file names are those of Dassl (Zhou et al., "Domain Adaptive Ensemble
Learning", 2020; github.com/KaiyangZhou/Dassl.pytorch), so that a trainer runs on either. Left out: its datasets,
backbones, augmentations that torchvision lacks, samplers by domain or class, learning rates by layer, and the trainers
for domain adaptation, domain generalisation and semi-supervised learning.
"""

from contextlib import suppress

with suppress(ModuleNotFoundError):  # stands alone as well
    from kdpl.import_guards import import_torchvision

    import_torchvision()  # before anything else does: a build for CUDA then loads beside a torch for CPUs

__version__ = "0.6.3+kdpl"  # the release whose interface this is
