"""FGVC-Aircraft."""

from dassl.data.datasets import DATASET_REGISTRY

from kdpl.outside import read_lines

from .few_shot import FewShotDataset
from .splits import Item, Split


@DATASET_REGISTRY.register()
class FGVCAircraft(FewShotDataset):
    """100 variants of aircraft (Maji et al., arXiv:1306.5151), in the dataset's own split, as in CoOp.

    Class names are the lines of ``variants.txt``, such as 707-320, in its order.
    """

    dataset_dir, image_dir = "fgvc_aircraft", "images"
    also_needed = ("variants.txt", *(f"images_variant_{part}.txt" for part in ("train", "val", "test")))
    n_classes, n_images = 100, (3334, 3333, 3333)
    source = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
    licence = "non-commercial research"

    def read_split(self) -> Split:
        labels = {name: label for label, name in enumerate(read_lines(self.folder / "variants.txt"))}

        def items(part: str) -> list[Item]:
            path = self.folder / f"images_variant_{part}.txt"
            rows = [line.split(" ", 1) for line in read_lines(path)]  # "1025794 707-320"
            for row in rows:
                if row[-1] not in labels:
                    raise ValueError(
                        f"{path} lists the variant {row[-1]!r}, which is not in variants.txt. Download both again."
                    )
            return [Item(f"{image}.jpg", labels[name], name) for image, name in rows]

        return Split.of(items("train"), items("val"), items("test"))
