"""Creating splits from a dataset's own annotation by CoOp's rules, as an alternative to the published split."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .splits import Item, Split, by_label

VAL_SHARE = 0.2  # fraction of the training images that is held out for validation
TRAIN_SHARE_OF_ALL, VAL_SHARE_OF_ALL = 0.5, 0.2


def hold_out_validation(items: Sequence[Item], generator: random.Random) -> tuple[list[Item], list[Item]]:
    """Hold out a random fifth of each class for validation."""
    train, val = [], []
    for group in by_label(items).values():
        generator.shuffle(group)
        n_val = round(VAL_SHARE * len(group))
        val += group[:n_val]
        train += group[n_val:]
    return train, val


def divide_classes(items: Sequence[Item], generator: random.Random) -> Split:
    """Random split of each class: half for training, a fifth for validation, the rest for testing."""
    train, val, test = [], [], []
    for group in by_label(items).values():
        generator.shuffle(group)
        n_train, n_val = round(TRAIN_SHARE_OF_ALL * len(group)), round(VAL_SHARE_OF_ALL * len(group))
        train += group[:n_train]
        val += group[n_train : n_train + n_val]
        test += group[n_train + n_val :]
    return Split.of(train, val, test)


def read_mat(path: Path) -> dict[str, Any]:
    """The variables in a MATLAB file; structures become records, and single values are not wrapped.

    Raises:
        ValueError: if the file is not a MATLAB file, or is truncated.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, squeeze_me=True)
    except (MatReadError, ValueError, OSError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as a MATLAB file: {error}. Download it again.") from error
