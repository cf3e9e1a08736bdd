"""ImageNet-A."""

from dassl.data.datasets import DATASET_REGISTRY

from .imagenet import ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetA(ImageNetVariant):
    """Photos of 200 of ImageNet's classes that fool classifiers (Hendrycks et al., CVPR 2021); for testing only."""

    dataset_dir, image_dir = "imagenet-adversarial", "imagenet-a"
    n_classes, n_images = 200, (0, 0, 7500)
    source = "https://github.com/hendrycks/natural-adv-examples"
    licence = "MIT; images belong to their authors"
