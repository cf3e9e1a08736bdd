"""SUN397."""

import random
from pathlib import Path, PurePosixPath

from dassl.data.datasets import DATASET_REGISTRY

from kdpl.outside import read_lines

from .few_shot import FewShotDataset
from .raw_splits import hold_out_validation
from .splits import Item, Split


@DATASET_REGISTRY.register()
class SUN397(FewShotDataset):
    """397 scene categories (Xiao et al., CVPR 2010), in the split published with CoOp.

    Class names are the folder names in reverse order, without the initial letter, such as outdoor athletic_field for
    ``/a/athletic_field/outdoor``.
    """

    dataset_dir, image_dir, split_file = "sun397", "SUN397", "split_zhou_SUN397.json"
    n_classes, n_images = 397, (15880, 3970, 19850)
    source = "https://vision.princeton.edu/projects/2010/SUN/"
    licence = "for research purposes only"
    raw_files = ("ClassName.txt", "Training_01.txt", "Testing_01.txt")

    @classmethod
    def raw_split(cls, folder: Path, generator: random.Random) -> Split:
        labels = {name: label for label, name in enumerate(read_lines(folder / "ClassName.txt"))}  # "/a/abbey"

        def items(list_file: str) -> list[Item]:
            paths = [PurePosixPath(line) for line in read_lines(folder / list_file)]  # "/a/abbey/sun_x.jpg"
            return [Item(str(path)[1:], labels[str(path.parent)], " ".join(path.parent.parts[:1:-1])) for path in paths]

        return Split.of(*hold_out_validation(items("Training_01.txt"), generator), items("Testing_01.txt"))
