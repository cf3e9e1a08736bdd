"""Trainers by name, and their shared training loops."""

from .build import TRAINER_REGISTRY, build_trainer
from .epoch_trainers import TrainerX
from .simple_trainer import SimpleTrainer
from .trainer_base import TrainerBase

__all__ = ["TRAINER_REGISTRY", "SimpleTrainer", "TrainerBase", "TrainerX", "build_trainer"]
