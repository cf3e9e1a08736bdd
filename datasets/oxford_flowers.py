"""Oxford Flowers."""

import random
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from kdpl.outside import read_json

from .few_shot import FewShotDataset
from .raw_splits import divide_classes, read_mat
from .splits import Item, Split


@DATASET_REGISTRY.register()
class OxfordFlowers(FewShotDataset):
    """102 flowers common in the United Kingdom (Nilsback, Zisserman, ICVGIP 2008), in the split published with CoOp.

    Class names come from ``cat_to_name.json``, such as pink primrose.
    """

    dataset_dir, image_dir, split_file = "oxford_flowers", "jpg", "split_zhou_OxfordFlowers.json"
    n_classes, n_images = 102, (4093, 1633, 2463)
    source = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    licence = "none stated"
    raw_files = ("imagelabels.mat", "cat_to_name.json")

    @classmethod
    def raw_split(cls, folder: Path, generator: random.Random) -> Split:
        names = read_json(folder / "cat_to_name.json")
        labels = read_mat(folder / "imagelabels.mat")["labels"].ravel().tolist()  # one per image, from 1
        items = [Item(f"image_{n:05}.jpg", label - 1, names[str(label)]) for n, label in enumerate(labels, start=1)]
        return divide_classes(items, generator)
