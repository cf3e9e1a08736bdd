"""Registering trainers with Dassl, beside whatever the code base that we were dropped into has registered."""

from dassl.engine import TRAINER_REGISTRY


def register_trainer(trainer: type) -> type:
    """Register a trainer under its class name; a name that is taken already is left to its owner."""
    if trainer.__name__ not in TRAINER_REGISTRY.registered_names():
        TRAINER_REGISTRY.register()(trainer)
    return trainer
