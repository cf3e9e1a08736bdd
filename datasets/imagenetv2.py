"""ImageNetV2."""

from dassl.data.datasets import DATASET_REGISTRY

from .imagenet import ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetV2(ImageNetVariant):
    """A new test set for ImageNet, matched-frequency version (Recht et al., ICML 2019); for testing only.

    Folders are called 0 to 999, which are line numbers in ``classnames.txt``, from 0.
    """

    dataset_dir, image_dir = "imagenetv2", "imagenetv2-matched-frequency-format-val"
    n_classes, n_images = 1000, (0, 0, 10000)
    source = "https://github.com/modestyachts/ImageNetV2"
    licence = "MIT; images belong to their authors"

    def names_of_folders(self, classnames: dict[str, str]) -> dict[str, str]:
        return {str(label): name for label, name in enumerate(classnames.values())}
