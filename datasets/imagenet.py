"""ImageNet, and the base class of its shifted variants: one folder per class, and a list of class names."""

from collections.abc import Mapping
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from kdpl.outside import read_lines

from .few_shot import FewShotDataset
from .image_files import folder_names, image_names
from .splits import Item, Split


@DATASET_REGISTRY.register()
class ImageNet(FewShotDataset):
    """1,000 object categories (Deng et al., CVPR 2009); its validation images are the test set, as in CoOp.

    Class names are CLIP's, from ``classnames.txt``; labels follow the sorted folder names. Images are sorted by name,
    so that few-shot draws do not depend on the file system.
    """

    dataset_dir, image_dir = "imagenet", "images"
    also_needed = ("images/train/", "images/val/", "classnames.txt")
    n_classes, n_images = 1000, (1281167, 0, 50000)
    source = "https://image-net.org/download.php"
    licence = "non-commercial research and education, by ImageNet's terms of access"

    def read_split(self) -> Split:
        names = read_classnames(self.folder / "classnames.txt")
        folders = folder_names(self.images / "train")
        test_folders = folder_names(self.images / "val")
        if folders != test_folders:
            unmatched = sorted(set(folders) ^ set(test_folders))
            flat = " (its images are not in class folders)" if not test_folders else ""
            raise ValueError(
                f"{self.images}/train has {len(folders)} class folders and val has {len(test_folders)}{flat}; "
                f"only one of them has {', '.join(unmatched[:5])}. They must be the same: {self.repair()}"
            )
        train = self.items("train/", folders, names)
        return Split.of(train, [], self.items("val/", folders, names))

    def items(self, part: str, folders: list[str], names: Mapping[str, str]) -> list[Item]:
        """The images in class folders below ``part``; the position of a folder is its label."""
        items = []
        for label, folder in enumerate(folders):
            if folder not in names:
                raise ValueError(
                    f"{self.images / part / folder} is not a class folder: {self.folder}/classnames.txt has no line "
                    f"{folder!r}. Move it away, or download classnames.txt again: {self.repair()}"
                )
            images = image_names(self.images / part / folder)
            if not images:
                raise FileNotFoundError(f"{self.images / part / folder} contains no images: {self.repair()}")
            items += [Item(f"{part}{folder}/{image}", label, names[folder]) for image in images]
        return items


class ImageNetVariant(ImageNet):
    """A test set with ImageNet's classes; as in CoOp, its images are also listed as training images, but never used."""

    also_needed = ("classnames.txt",)
    test_only = True

    def read_split(self) -> Split:
        names = self.names_of_folders(read_classnames(self.folder / "classnames.txt"))
        folders = folder_names(self.images)
        if len(folders) != self.n_classes:
            raise FileNotFoundError(
                f"{self.images} has {len(folders)} class folders instead of {self.n_classes}: {self.repair()}"
            )
        order = {folder: n for n, folder in enumerate(names)}
        items = self.items("", sorted(folders, key=lambda folder: order.get(folder, -1)), names)
        return Split.of(items, [], items)

    def names_of_folders(self, classnames: dict[str, str]) -> dict[str, str]:
        """Class name of each folder, in label order."""
        return classnames

    def few_shot(self, split: Split, shots: int, seed: int) -> Split:
        return split


def read_classnames(path: Path) -> dict[str, str]:
    """Class name of each folder, in the order of the file, which has lines such as ``n01440764 tench``.

    Raises:
        ValueError: if a line has no name, or a folder occurs twice.
    """
    rows = [line.split(" ", 1) for line in read_lines(path)]
    names = {row[0]: row[-1].strip() for row in rows}
    if not rows or any(len(row) != 2 for row in rows) or len(names) != len(rows):
        raise ValueError(
            f"{path} is not a list of distinct folders with class names, one per line, such as 'n01440764 tench'. "
            "Download it again."
        )
    return names
