"""The configuration that every run starts from."""

from yacs.config import CfgNode

from .defaults import defaults


def get_cfg_default() -> CfgNode:
    """A fresh configuration with every key at its default."""
    return CfgNode(defaults())


def clean_cfg(cfg: CfgNode, trainer: str) -> None:
    """Drop, in place, the ``TRAINER`` nodes of all trainers but ``trainer``: a printed configuration gets short."""
    for key in list(cfg.TRAINER):
        if key not in ("NAME", trainer.upper()):
            del cfg.TRAINER[key]
