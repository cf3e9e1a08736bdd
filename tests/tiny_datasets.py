"""Hand-made datasets of real JPEGs, a few pixels each."""

import json
from pathlib import Path

import numpy as np
from dassl.config import get_cfg_default
from PIL import Image
from yacs.config import CfgNode

from datasets.few_shot import FewShotDataset
from trainers.kdpl.config import extend_cfg


class Tiny(FewShotDataset):
    """What :func:`make_tiny` writes."""

    dataset_dir, image_dir, split_file = "tiny", "images", "split_tiny.json"


def dataset_cfg(root: str | Path, name: str = "", shots: int = -1, seed: int = 1, subsample: str = "all") -> CfgNode:
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.DATASET.NAME, cfg.DATASET.ROOT, cfg.SEED = name, str(root), seed
    cfg.DATASET.NUM_SHOTS, cfg.DATASET.SUBSAMPLE_CLASSES = shots, subsample
    return cfg


def write_jpeg(path: Path, shade: int = 0, size: tuple[int, int] = (24, 16)) -> Path:
    """A noisy picture, so that its bytes are more than a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(shade).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, "JPEG")
    return path


def tiny_split(n_classes: int = 5, n_train: int = 6, n_val: int = 5, n_test: int = 2) -> dict[str, list]:
    """Parts in CoOp's form; the classes are class_0 ... and their images lie in folders of these names."""
    counts = {"train": n_train, "val": n_val, "test": n_test}
    return {
        part: [[f"class_{c}/{part}_{i}.jpg", c, f"class_{c}"] for c in range(n_classes) for i in range(count)]
        for part, count in counts.items()
    }


def make_tiny(root: Path, split: dict[str, list] | None = None) -> Path:
    """Write the dataset Tiny below ``root``; returns its folder."""
    split = split or tiny_split()
    for n, (path, *_) in enumerate(split["train"] + split["val"] + split["test"]):
        write_jpeg(root / "tiny" / "images" / path, n)
    (root / "tiny" / "split_tiny.json").write_text(json.dumps(split))
    return root / "tiny"
