"""The registry of datasets."""

from dassl.utils import Registry
from yacs.config import CfgNode

from .base_dataset import DatasetBase

DATASET_REGISTRY = Registry("DATASET")


def build_dataset(cfg: CfgNode) -> DatasetBase:
    """Build the dataset called ``cfg.DATASET.NAME``."""
    return DATASET_REGISTRY.build(cfg.DATASET.NAME, cfg)
