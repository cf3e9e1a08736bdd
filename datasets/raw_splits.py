"""Splits made from a dataset's own annotation by the rules of CoOp, where a published split is not wanted."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .splits import Item, Split, by_label

VAL_SHARE = 0.2  # of the images for training and validation
TRAIN_SHARE_OF_ALL, VAL_SHARE_OF_ALL = 0.5, 0.2


def hold_out_validation(items: Sequence[Item], generator: random.Random) -> tuple[list[Item], list[Item]]:
    """Training and validation: a fifth of each class, shuffled, is held out."""
    train, val = [], []
    for group in by_label(items).values():
        generator.shuffle(group)
        n_val = round(VAL_SHARE * len(group))
        val += group[:n_val]
        train += group[n_val:]
    return train, val


def divide_classes(items: Sequence[Item], generator: random.Random) -> Split:
    """Half of each class, shuffled, for training, a fifth for validation, the rest for the test."""
    train, val, test = [], [], []
    for group in by_label(items).values():
        generator.shuffle(group)
        n_train, n_val = round(TRAIN_SHARE_OF_ALL * len(group)), round(VAL_SHARE_OF_ALL * len(group))
        train += group[:n_train]
        val += group[n_train : n_train + n_val]
        test += group[n_train + n_val :]
    return Split.of(train, val, test)


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file; structures are records, and single values are not wrapped.

    Raises:
        ValueError: if the file is no MATLAB file or is cut off.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, squeeze_me=True)
    except (MatReadError, ValueError, OSError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as a MATLAB file: {error}. Fetch it again.") from error
