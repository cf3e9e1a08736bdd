"""Published outputs of OpenAI's ViT-B/32, with the pictures that they belong to."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..downloads import RemoteFile, cache_dir, download

MODEL = "ViT-B/32"


@dataclass(frozen=True)
class Output:
    """A published output for one picture.

    Attributes:
        what: "probabilities" or "logits".
        tolerance, half_tolerance: largest absolute error in float32, and in half precision.
    """

    name: str
    picture: RemoteFile
    texts: tuple[str, ...]
    what: str
    values: tuple[float, ...]
    tolerance: float
    half_tolerance: float
    source: str

    @property
    def cached(self) -> Path:
        """Location of the downloaded picture."""
        return cache_dir() / "verification" / self.picture.name


OUTPUTS = (
    Output(
        name="CLIP.png",
        picture=RemoteFile(
            "CLIP.png",
            ("https://raw.githubusercontent.com/openai/CLIP/d05afc436d78f1c48dc0dbf8e5980a9d471f35f6/CLIP.png",),
            "sha256:308a3ca4503f1c7a07803916c369d78c4ef501e5ab7fc727da9b5e1d2f9ec85b",
            252_444,
            "It is the picture at the top of OpenAI's README (github.com/openai/CLIP).",
        ),
        texts=("a diagram", "a dog", "a cat"),
        what="probabilities",
        values=(0.9927937, 0.00421068, 0.00299572),
        tolerance=1e-3,
        half_tolerance=5e-3,
        source="README of github.com/openai/CLIP",
    ),
    Output(
        name="COCO 39769",
        picture=RemoteFile(
            "000000039769.jpg",
            ("http://images.cocodataset.org/val2017/000000039769.jpg",),
            "sha256:dea9e7ef97386345f7cff32f9055da4982da5471c48d575146c796ab4563b04e",
            173_131,
            "It is image 39769 of COCO val2017.",
        ),
        texts=("a photo of a cat", "a photo of a dog"),
        what="logits",
        values=(24.5701, 19.3049),
        # The original test allows 1e-3 plus 1e-3 of the value; different JPEG decoders need this.
        tolerance=1e-3 + 1e-3 * 24.5701,
        half_tolerance=0.15,
        source="tests/models/clip/test_modeling_clip.py of github.com/huggingface/transformers",
    ),
)


def find_picture(output: Output, folder: str | os.PathLike | None, fetch: bool) -> Path | None:
    """The picture for an output: from a folder, from the cache, or downloaded; None if it is missing.

    Args:
        folder: folder with pictures under their original names.
        fetch: whether to download a missing picture.

    Raises:
        ValueError: if a file has the right name but other content.
        ConnectionError: if the download fails.
    """
    for path in ([] if folder is None else [Path(folder) / output.picture.name]) + [output.cached]:
        if path.is_file():
            if fault := output.picture.fault(path):
                raise ValueError(f"{path} is not the published picture: {fault}.")
            return path
    if fetch:
        download(output.picture, output.cached)
        return output.cached
    return None
