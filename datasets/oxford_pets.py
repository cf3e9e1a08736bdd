"""Oxford-IIIT Pets."""

from dassl.data.datasets import DATASET_REGISTRY

from .few_shot import FewShotDataset


@DATASET_REGISTRY.register()
class OxfordPets(FewShotDataset):
    """37 breeds of cats and dogs (Parkhi et al., CVPR 2012), in the split published with CoOp.

    Class names come from the file names, in lower case, such as american_bulldog.
    """

    dataset_dir, image_dir, split_file = "oxford_pets", "images", "split_zhou_OxfordPets.json"
    n_classes, n_images = 37, (2944, 736, 3669)
    source = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
    licence = "CC BY-SA 4.0"
