"""The demo datasets: posters of 96 classes such as "red striped circle", plain and in three harder conditions."""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from dassl.data.datasets import DATASET_REGISTRY
from PIL import Image
from tqdm import tqdm

from kdpl.atomic_files import write_json_atomically
from kdpl.locks import one_at_a_time

from . import shapes_drawing
from .few_shot import FewShotDataset
from .splits import PARTS, Item

COLOURS = tuple(shapes_drawing.HUES)
TEXTURES = ("solid", "striped", "dotted", "checkered")
SHAPES = ("circle", "square", "triangle", "star")
N_CLASSES = len(COLOURS) * len(TEXTURES) * len(SHAPES)
IMAGES_PER_CLASS = {"train": 20, "val": 4, "test": 20}


def class_words() -> list[tuple[str, str, str]]:
    """Colour, texture and shape of the 96 classes in label order.

    Combinations are divided like the squares of a chessboard: the base and the new half share all words and all pairs
    of words, but no class.
    """
    combinations = list(itertools.product(range(len(COLOURS)), range(len(TEXTURES)), range(len(SHAPES))))
    combinations.sort(key=lambda indices: sum(indices) % 2)
    return [(COLOURS[colour], TEXTURES[texture], SHAPES[shape]) for colour, texture, shape in combinations]


@DATASET_REGISTRY.register()
class Shapes(FewShotDataset):
    """Posters of coloured, textured shapes, generated on first use; new classes are new combinations of known words."""

    dataset_dir, image_dir, split_file = "shapes", "images", "split_shapes.json"
    n_classes, n_images = N_CLASSES, tuple(N_CLASSES * n for n in IMAGES_PER_CLASS.values())
    condition = "plain"

    def check_layout(self) -> None:
        """Generate the images and write the split, unless they are complete."""
        draw_once(self.images, self.folder / self.split_file, self.condition)
        super().check_layout()


@DATASET_REGISTRY.register()
class ShapesNight(Shapes):
    """The same kind of posters at night."""

    dataset_dir, split_file = "shapes_night", "split_shapes_night.json"
    condition = "night"


@DATASET_REGISTRY.register()
class ShapesNoise(Shapes):
    """The same kind of posters with strong noise."""

    dataset_dir, split_file = "shapes_noise", "split_shapes_noise.json"
    condition = "noise"


@DATASET_REGISTRY.register()
class ShapesSketch(Shapes):
    """The same kind of posters as coloured pencil sketches."""

    dataset_dir, split_file = "shapes_sketch", "split_shapes_sketch.json"
    condition = "sketch"


def draw_once(images: Path, split_file: Path, condition: str) -> None:
    """Generate all images of one condition in ``images`` and write ``split_file``, unless both are complete.

    Incomplete folders are generated again. If several processes start at once, one generates and the others wait.

    Raises:
        ValueError: if the folder cannot be written.
    """
    split = _split()
    if _is_complete(images, split_file, split):
        return
    try:
        waiting = f"Another process is generating {images.parent}; waiting for it to finish"
        with one_at_a_time(split_file.with_name(f".{split_file.stem}.lock"), waiting):
            if not _is_complete(images, split_file, split):
                _draw(images, split, condition)
                write_json_atomically(split_file, split)  # last, because it marks the images as complete
    except OSError as error:
        raise ValueError(
            f"The demo's images could not be written to {images} ({error.strerror or error}). Choose a data root that "
            "is writable: DATA=... for the scripts, --root ... for train.py."
        ) from error


def _split() -> dict[str, list[Item]]:
    """The split in CoOp's form."""
    return {
        part: [
            Item(f"{'_'.join(words)}/{part}_{number:02}.jpg", label, " ".join(words))
            for label, words in enumerate(class_words())
            for number in range(IMAGES_PER_CLASS[part])
        ]
        for part in PARTS
    }


def _is_complete(images: Path, split_file: Path, split: dict[str, list[Item]]) -> bool:
    if not split_file.is_file():
        return False
    names_by_folder = {os.path.basename(folder): names for folder, _, names in os.walk(images)}
    found = {f"{folder}/{name}" for folder, names in names_by_folder.items() for name in names}
    return found.issuperset(item.path for items in split.values() for item in items)


def _draw(images: Path, split: dict[str, list[Item]], condition: str) -> None:
    """Generate in a temporary folder beside ``images``, which then replaces it."""
    for leftover in images.parent.glob(f".{images.name}.*.part"):
        shutil.rmtree(leftover)  # from a process that was killed
    unfinished = Path(tempfile.mkdtemp(dir=images.parent, prefix=f".{images.name}.", suffix=".part"))
    unfinished.chmod(0o755)
    try:
        _draw_into(unfinished, split, condition, title=f"Generating {images.parent}")
        if images.exists():
            shutil.rmtree(images)
        unfinished.rename(images)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _draw_into(folder: Path, split: dict[str, list[Item]], condition: str, title: str) -> None:
    classes = class_words()
    for words in classes:
        (folder / "_".join(words)).mkdir()
    numbered = [(part, number) for part, items in split.items() for number in range(len(items))]
    for part, number in tqdm(numbered, desc=title, unit="image"):
        item = split[part][number]
        # An image's generator depends only on its position, so that every machine generates the same images.
        seed = (shapes_drawing.CONDITIONS.index(condition), PARTS.index(part), number)
        pixels = shapes_drawing.draw(np.random.default_rng(seed), *classes[item.label], "poster", condition)
        Image.fromarray(pixels).save(folder / item.path, quality=95, subsampling=0)
