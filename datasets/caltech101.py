"""Caltech-101."""

from dassl.data.datasets import DATASET_REGISTRY

from .few_shot import FewShotDataset


@DATASET_REGISTRY.register()
class Caltech101(FewShotDataset):
    """100 object categories (Fei-Fei, Fergus, Perona, CVPR workshop 2004), in the split published with CoOp.

    Class names are the folder names, except for airplane, face, leopard and motorbike instead of airplanes, Faces,
    Leopards and Motorbikes; BACKGROUND_Google and Faces_easy are left out.
    """

    dataset_dir, image_dir, split_file = "caltech-101", "101_ObjectCategories", "split_zhou_Caltech101.json"
    n_classes, n_images = 100, (4128, 1649, 2465)
    source = "https://data.caltech.edu/records/mzrjq-6wc02"
    licence = "CC BY 4.0"
