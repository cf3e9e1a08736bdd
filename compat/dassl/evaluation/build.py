"""The registry of evaluators."""

from dassl.utils import Registry
from yacs.config import CfgNode

EVALUATOR_REGISTRY = Registry("EVALUATOR")


def build_evaluator(cfg: CfgNode, **kwargs) -> object:
    """Build the evaluator called ``cfg.TEST.EVALUATOR`` from ``cfg`` and ``kwargs``."""
    return EVALUATOR_REGISTRY.build(cfg.TEST.EVALUATOR, cfg, **kwargs)
