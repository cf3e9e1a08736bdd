"""ImageNet-R."""

from dassl.data.datasets import DATASET_REGISTRY

from .imagenet import ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetR(ImageNetVariant):
    """200 of ImageNet's classes as art, toys and other renditions (Hendrycks et al., ICCV 2021); for testing only."""

    dataset_dir, image_dir = "imagenet-rendition", "imagenet-r"
    n_classes, n_images = 200, (0, 0, 30000)
    source = "https://github.com/hendrycks/imagenet-r"
    licence = "MIT; images belong to their authors"
