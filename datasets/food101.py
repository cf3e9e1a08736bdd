"""Food-101."""

from dassl.data.datasets import DATASET_REGISTRY

from .few_shot import FewShotDataset


@DATASET_REGISTRY.register()
class Food101(FewShotDataset):
    """101 dishes (Bossard, Guillaumin, Van Gool, ECCV 2014), in the split published with CoOp.

    Class names are the folder names, such as apple_pie.
    """

    dataset_dir, image_dir, split_file = "food-101", "images", "split_zhou_Food101.json"
    n_classes, n_images = 101, (50500, 20200, 30300)
    source = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    licence = "images belong to their authors on Foodspotting; scientific fair use only"
