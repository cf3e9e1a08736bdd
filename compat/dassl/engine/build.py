"""The registry of trainers."""

from dassl.utils import Registry
from yacs.config import CfgNode

from .trainer_base import TrainerBase

TRAINER_REGISTRY = Registry("TRAINER")


def build_trainer(cfg: CfgNode) -> TrainerBase:
    """Build the trainer called ``cfg.TRAINER.NAME``."""
    return TRAINER_REGISTRY.build(cfg.TRAINER.NAME, cfg)
