"""The registry of evaluators."""

from dassl.utils import Registry
from yacs.config import CfgNode

EVALUATOR_REGISTRY = Registry("EVALUATOR")


def build_evaluator(cfg: CfgNode, **kwargs) -> object:
    """The evaluator that ``cfg.TEST.EVALUATOR`` names, made with ``cfg`` and ``kwargs``."""
    return EVALUATOR_REGISTRY.build(cfg.TEST.EVALUATOR, cfg, **kwargs)
