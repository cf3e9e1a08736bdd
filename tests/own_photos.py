"""Folders of photos, and the dataset read from them."""

from dassl.data.datasets import build_dataset

import datasets  # noqa: F401  registers Folder
from tests.tiny_datasets import dataset_cfg, write_jpeg


def fill_folder(root, *patterns):
    """Write pictures; "cat/*3" are three in the folder cat."""
    for k, pattern in enumerate(patterns):
        folder, count = pattern.split("*")
        for n in range(int(count)):
            write_jpeg(root / folder / f"{n}.jpg", 100 * k + n)


def folder(root, **settings):
    cfg = dataset_cfg(root, "Folder", shots=settings.pop("shots", -1), subsample=settings.pop("subsample", "all"))
    cfg.TRAINER.KDPL.CLASS_AGNOSTIC = settings.pop("class_agnostic", False)
    cfg.TEST.NO_TEST = settings.pop("no_test", False)
    cfg.DATASET.TEMPLATE = settings.pop("template", "")
    for key, value in settings.items():
        cfg.DATASET.FOLDER[key.upper()] = value
    return build_dataset(cfg)


def sizes(dataset):
    return len(dataset.train_x), len(dataset.val or []), len(dataset.test)


def labels(data):
    return [datum.label for datum in data]
