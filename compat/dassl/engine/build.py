"""The registry of trainers."""

from dassl.utils import Registry, check_availability
from yacs.config import CfgNode

from .trainer_base import TrainerBase

TRAINER_REGISTRY = Registry("TRAINER")


def build_trainer(cfg: CfgNode) -> TrainerBase:
    """The trainer that ``cfg.TRAINER.NAME`` names, made with ``cfg``."""
    check_availability(cfg.TRAINER.NAME, TRAINER_REGISTRY.registered_names())
    if cfg.VERBOSE:
        print(f"Loading trainer: {cfg.TRAINER.NAME}")
    return TRAINER_REGISTRY.get(cfg.TRAINER.NAME)(cfg)
