"""The configuration that every run starts from."""

from yacs.config import CfgNode

from .defaults import defaults


def get_cfg_default() -> CfgNode:
    """A fresh configuration with every key at its default."""
    return CfgNode(defaults())
