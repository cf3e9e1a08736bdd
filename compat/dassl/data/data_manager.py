"""A dataset and its loaders, built from the configuration."""

from collections.abc import Callable, Sequence

import torch
from tabulate import tabulate
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from .dataset_wrapper import DatasetWrapper
from .datasets import Datum, build_dataset
from .samplers import build_sampler
from .transforms import build_transform


def build_data_loader(
    cfg: CfgNode,
    sampler_type: str = "SequentialSampler",
    data_source: Sequence[Datum] | None = None,
    batch_size: int = 64,
    tfm: Callable | Sequence[Callable] | None = None,
    is_train: bool = True,
    dataset_wrapper: type | None = None,
) -> DataLoader:
    """Batches of ``data_source``.

    Training drops the last batch if it is not full, unless it is the only one. Memory is pinned if CUDA is used.

    Raises:
        ValueError: if there is nothing to load.
    """
    if not data_source:
        raise ValueError(f"the {'training' if is_train else 'test'} set of {cfg.DATASET.NAME!r} has no images")
    loader = DataLoader(
        (dataset_wrapper or DatasetWrapper)(cfg, data_source, transform=tfm, is_train=is_train),
        batch_size=batch_size,
        sampler=build_sampler(sampler_type, cfg=cfg, data_source=data_source),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        drop_last=is_train and len(data_source) >= batch_size,
        pin_memory=torch.cuda.is_available() and cfg.USE_CUDA,
    )
    if not len(loader):
        raise ValueError(
            f"{sampler_type}: no batch of {batch_size} in {len(data_source)} images; reduce the batch size"
        )
    return loader


class DataManager:
    """A dataset and its loaders.

    Attributes: ``dataset``, ``train_loader_x``, ``val_loader`` (None if the dataset has no validation set),
    ``test_loader``, ``num_classes``, ``num_source_domains``, ``lab2cname``; ``train_loader_u`` is always None, as no
    trainer here learns from labelled and unlabelled images side by side.

    Args:
        cfg: the configuration.
        custom_tfm_train: transform for training instead of the configured one.
        custom_tfm_test: the same for validation and test.
        dataset_wrapper: class to use instead of ``DatasetWrapper``.
    """

    def __init__(
        self,
        cfg: CfgNode,
        custom_tfm_train: Callable | Sequence[Callable] | None = None,
        custom_tfm_test: Callable | Sequence[Callable] | None = None,
        dataset_wrapper: type | None = None,
    ):
        self.dataset = dataset = build_dataset(cfg)
        self.num_classes = dataset.num_classes
        self.num_source_domains = len(cfg.DATASET.SOURCE_DOMAINS)
        self.lab2cname = dataset.lab2cname

        tfm_train = _configured_unless_given(custom_tfm_train, cfg, is_train=True)
        tfm_test = _configured_unless_given(custom_tfm_test, cfg, is_train=False)

        def loader(data_source: Sequence[Datum], node: CfgNode, is_train: bool) -> DataLoader:
            return build_data_loader(
                cfg,
                sampler_type=node.SAMPLER,
                data_source=data_source,
                batch_size=node.BATCH_SIZE,
                tfm=tfm_train if is_train else tfm_test,
                is_train=is_train,
                dataset_wrapper=dataset_wrapper,
            )

        self.train_loader_x = loader(dataset.train_x, cfg.DATALOADER.TRAIN_X, is_train=True)
        self.train_loader_u = None
        self.val_loader = loader(dataset.val, cfg.DATALOADER.TEST, is_train=False) if dataset.val else None
        self.test_loader = loader(dataset.test, cfg.DATALOADER.TEST, is_train=False)
        if cfg.VERBOSE:
            self.show_dataset_summary(cfg)

    def show_dataset_summary(self, cfg: CfgNode) -> None:
        """Print a table of names and sizes."""
        dataset = self.dataset
        rows = [("Dataset", cfg.DATASET.NAME)]
        rows += [("Source", cfg.DATASET.SOURCE_DOMAINS)] if cfg.DATASET.SOURCE_DOMAINS else []
        rows += [("Target", cfg.DATASET.TARGET_DOMAINS)] if cfg.DATASET.TARGET_DOMAINS else []
        rows += [("# classes", f"{self.num_classes:,}"), ("# train_x", f"{len(dataset.train_x):,}")]
        rows += [("# val", f"{len(dataset.val):,}")] if dataset.val else []
        rows += [("# test", f"{len(dataset.test):,}")]
        print(tabulate(rows))


def _configured_unless_given(
    custom: Callable | Sequence[Callable] | None, cfg: CfgNode, is_train: bool
) -> Callable | Sequence[Callable] | None:
    if custom is None:
        return build_transform(cfg, is_train=is_train)
    print(f"* Using custom transform for {'training' if is_train else 'testing'}")
    return custom
