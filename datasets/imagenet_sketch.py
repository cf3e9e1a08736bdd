"""ImageNet-Sketch."""

from dassl.data.datasets import DATASET_REGISTRY

from .imagenet import ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetSketch(ImageNetVariant):
    """ImageNet's classes as black and white sketches (Wang et al., NeurIPS 2019); for testing only."""

    dataset_dir, image_dir = "imagenet-sketch", "images"
    n_classes, n_images = 1000, (0, 0, 50889)
    source = "https://github.com/HaohanWang/ImageNet-Sketch"
    licence = "MIT; images belong to their authors"
