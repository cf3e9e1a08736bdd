"""Describable Textures (DTD)."""

from dassl.data.datasets import DATASET_REGISTRY

from .few_shot import FewShotDataset


@DATASET_REGISTRY.register()
class DescribableTextures(FewShotDataset):
    """47 texture attributes (Cimpoi et al., CVPR 2014), in the split published with CoOp, not one of DTD's own.

    Class names are the folder names, such as polka-dotted.
    """

    dataset_dir, image_dir, split_file = "dtd", "images", "split_zhou_DescribableTextures.json"
    n_classes, n_images = 47, (2820, 1128, 1692)
    source = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"
    licence = "for research purposes only"
