"""Caltech-101."""

from dassl.data.datasets import DATASET_REGISTRY

from .few_shot import FewShotDataset


@DATASET_REGISTRY.register()
class Caltech101(FewShotDataset):
    """100 kinds of objects (Fei-Fei, Fergus, Perona, CVPR workshop 2004), in the split published with CoOp."""

    dataset_dir, image_dir, split_file = "caltech-101", "101_ObjectCategories", "split_zhou_Caltech101.json"
