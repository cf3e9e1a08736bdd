"""EuroSAT."""

from dassl.data.datasets import DATASET_REGISTRY

from .few_shot import FewShotDataset


@DATASET_REGISTRY.register()
class EuroSAT(FewShotDataset):
    """10 kinds of land use in satellite images (Helber et al., JSTARS 2019), in the split published with CoOp.

    Class names are spelt out, such as Annual Crop Land for the folder AnnualCrop and Sea or Lake for SeaLake.
    """

    dataset_dir, image_dir, split_file = "eurosat", "2750", "split_zhou_EuroSAT.json"
    n_classes, n_images = 10, (13500, 5400, 8100)
    source = "https://github.com/phelber/EuroSAT"
    licence = "MIT; Copernicus Sentinel data"
