"""Stanford Cars."""

import random
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from .few_shot import FewShotDataset
from .raw_splits import hold_out_validation, read_mat
from .splits import Item, Split


@DATASET_REGISTRY.register()
class StanfordCars(FewShotDataset):
    """196 car models (Krause et al., ICCV workshop 2013), in the split published with CoOp.

    Class names are those of the annotation, with the year moved to the front, such as 2012 Audi TTS Coupe.
    """

    dataset_dir, image_dir, split_file = "stanford_cars", "", "split_zhou_StanfordCars.json"
    also_needed = ("cars_train/", "cars_test/")
    n_classes, n_images = 196, (6509, 1635, 8041)
    source = "https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset"  # the authors' pages are gone
    licence = "non-commercial research"
    raw_files = ("devkit/cars_train_annos.mat", "devkit/cars_meta.mat", "cars_test_annos_withlabels.mat")

    @classmethod
    def raw_split(cls, folder: Path, generator: random.Random) -> Split:
        names = [_year_first(str(name)) for name in read_mat(folder / "devkit/cars_meta.mat")["class_names"].ravel()]

        def items(image_folder: str, annotation: str) -> list[Item]:
            rows = read_mat(folder / annotation)["annotations"].ravel()
            labels = [int(row["class"]) - 1 for row in rows]
            return [
                Item(f"{image_folder}/{row['fname']}", label, names[label])
                for row, label in zip(rows, labels, strict=True)
            ]

        train, val = hold_out_validation(items("cars_train", "devkit/cars_train_annos.mat"), generator)
        return Split.of(train, val, items("cars_test", "cars_test_annos_withlabels.mat"))


def _year_first(name: str) -> str:
    model, year = name.rsplit(" ", 1)
    return f"{year} {model}"
