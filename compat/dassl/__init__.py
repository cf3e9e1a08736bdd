"""The part of Dassl's public API that CoOp-style trainers use, written anew.

Names, configuration keys, defaults, log lines and file names are those of Dassl (Zhou et al., "Domain Adaptive Ensemble
Learning", 2020; github.com/KaiyangZhou/Dassl.pytorch), so that a trainer runs on either. Left out: its datasets,
backbones and the trainers for domain adaptation, domain generalisation and semi-supervised learning.
"""

__version__ = "0.6.3+kdpl"  # the release whose interface this is
