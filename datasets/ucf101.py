"""UCF101."""

import random
import re
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from kdpl.outside import read_lines

from .few_shot import FewShotDataset
from .raw_splits import hold_out_validation
from .splits import Item, Split


@DATASET_REGISTRY.register()
class UCF101(FewShotDataset):
    """Middle frames of videos of 101 actions (Soomro, Zamir, Shah, 2012), in the split published with CoOp.

    Class names are the folder names with underscores between words, such as Apply_Eye_Makeup.
    """

    dataset_dir, image_dir, split_file = "ucf101", "UCF-101-midframes", "split_zhou_UCF101.json"
    n_classes, n_images = 101, (7639, 1898, 3783)
    source = "https://www.crcv.ucf.edu/data/UCF101.php"
    licence = "none stated"
    raw_files = tuple(f"ucfTrainTestlist/{name}.txt" for name in ("classInd", "trainlist01", "testlist01"))

    @classmethod
    def raw_split(cls, folder: Path, generator: random.Random) -> Split:
        labels = {}
        for line in read_lines(folder / "ucfTrainTestlist/classInd.txt"):  # "1 ApplyEyeMakeup"
            number, action = line.split()
            labels[action] = int(number) - 1

        def items(list_file: str) -> list[Item]:
            found = []
            for line in read_lines(folder / "ucfTrainTestlist" / list_file):  # "ApplyEyeMakeup/v_x.avi 1"
                action, video = line.split()[0].split("/")
                name = "_".join(re.findall("[A-Z][^A-Z]*", action))
                found.append(Item(f"{name}/{video.removesuffix('.avi')}.jpg", labels[action], name))
            return found

        return Split.of(*hold_out_validation(items("trainlist01.txt"), generator), items("testlist01.txt"))
