"""Registering trainers with Dassl, alongside those of the code base that this plugin was added to."""

from dassl.engine import TRAINER_REGISTRY


def register_trainer(trainer: type) -> type:
    """Register a trainer under its class name, unless the name is already taken."""
    if trainer.__name__ not in TRAINER_REGISTRY.registered_names():
        TRAINER_REGISTRY.register()(trainer)
    return trainer
