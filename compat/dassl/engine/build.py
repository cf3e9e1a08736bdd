"""The registry of trainers."""

from dassl.utils import Registry
from yacs.config import CfgNode

from .trainer_base import TrainerBase

TRAINER_REGISTRY = Registry("TRAINER")


def build_trainer(cfg: CfgNode) -> TrainerBase:
    """The trainer that ``cfg.TRAINER.NAME`` names, made with ``cfg``."""
    return TRAINER_REGISTRY.build(cfg.TRAINER.NAME, cfg)
