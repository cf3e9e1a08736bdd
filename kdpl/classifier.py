"""Learned prompts ready for use."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from .clip.loading import load_clip
from .clip.precision import Precision
from .images.files import list_images
from .images.seeded_loader import picture
from .images.transforms import evaluation_transform
from .methods import find_method
from .prompts.prompt_file import Description, load_prompts, read_prompt_file, save_prompt_file
from .prompts.prompted_clip import PromptedCLIP


class Prediction(NamedTuple):
    """What a classifier says of one image.

    >>> Prediction("cat", 0.9, [("cat", 0.9), ("dog", 0.1)]).classname
    'cat'
    """

    classname: str  # the most likely class
    probability: float  # of it, 0 to 1
    top: list[tuple[str, float]]  # the most likely classes with their probabilities


class Classifier:
    """A student CLIP with learned prompts.

    Attributes:
        model: student and prompts.
        description: what the prompts were learned from and belong to.
        transform: from a PIL image to the student's input, (3, size, size).
    """

    def __init__(self, model: PromptedCLIP, description: Description, transform: Callable[[Image.Image], Tensor]):
        self.model = model
        self.description = description
        self.transform = transform

    @property
    def classnames(self) -> list[str]:
        return self.model.classnames

    def with_classnames(self, classnames: Sequence[str]) -> "Classifier":
        """The same prompts with other classes to tell apart."""
        model = self.model
        other = PromptedCLIP(
            model.clip, model.prompt_learner, classnames, device=model.device, precision=model.precision
        )
        return Classifier(other, self.description, self.transform)

    @torch.no_grad()
    def probabilities(self, image: Tensor) -> Tensor:
        """(batch, 3, size, size), transformed -> (batch, n_cls), which sum to 1.

        Raises:
            ValueError: if the classifier has no class names.
        """
        if not self.classnames:
            raise ValueError("This classifier has no class names; with_classnames(['cat', 'dog']) gives it some.")
        with self.model.precision.autocast(), self.model.fixed_prompts():
            return self.model(image.to(self.model.device)).float().softmax(dim=-1)

    def predict(self, images: Any, top: int = 5, batch_size: int = 64) -> list[Prediction]:
        """Classify images.

        >>> import kdpl, PIL.Image
        >>> from kdpl.images.transforms import evaluation_transform
        >>> clip = kdpl.load_clip("demo:student")
        >>> model = kdpl.PromptedCLIP(clip, kdpl.CoOpPromptLearner(clip), ["red circle", "blue square"], device="cpu")
        >>> classifier = kdpl.Classifier(model, {}, evaluation_transform(clip.preprocessing))
        >>> len(classifier.predict([PIL.Image.new("RGB", (64, 64), "red")] * 3, top=1))
        3

        Args:
            images: an image, a path, a folder, or a list of images or paths.
            top: how many classes to return with each.
            batch_size: images at once.

        Raises:
            FileNotFoundError, ValueError: if an image cannot be read, or there are no class names.
        """
        batches = self._batches(_as_list(images), batch_size)
        return [prediction for probabilities in batches for prediction in self._rows(probabilities, top)]

    def save(self, path: str | os.PathLike) -> None:
        """Write the prompts and what they belong to as a prompt file."""
        save_prompt_file(path, self.model.prompt_learner, self.description)

    def _batches(self, images: Sequence, batch_size: int) -> Iterator[Tensor]:
        for start in range(0, len(images), batch_size):
            pictures = [self.transform(picture(image)) for image in images[start : start + batch_size]]
            yield self.probabilities(torch.stack(pictures))

    def _rows(self, probabilities: Tensor, top: int) -> Iterator[Prediction]:
        values, indices = probabilities.topk(min(top, len(self.classnames)), dim=-1)
        for row, classes in zip(values.tolist(), indices.tolist(), strict=True):
            best = [(self.classnames[i], value) for i, value in zip(classes, row, strict=True)]
            yield Prediction(*best[0], best)


def load(
    prompts: str | os.PathLike,
    classnames: Sequence[str] | None = None,
    *,
    device: str | torch.device = "auto",
    precision: str | Precision = "fp32",
    student: str | None = None,
    method: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Classifier:
    """Load learned prompts as a classifier.

    >>> import kdpl, pathlib, tempfile
    >>> from kdpl.prompts.prompt_file import describe_prompts, save_prompt_file
    >>> clip, folder = kdpl.load_clip("demo:student"), tempfile.TemporaryDirectory()
    >>> learner, path = kdpl.CoOpPromptLearner(clip), pathlib.Path(folder.name, "prompts.safetensors")
    >>> save_prompt_file(path, learner, describe_prompts("CoOp", kdpl.METHODS["CoOp"].complete({}), learner, clip))
    >>> kdpl.load(path, ["red circle", "blue square"], device="cpu").classnames
    ['red circle', 'blue square']

    Args:
        prompts: a prompt file (prompts.safetensors), or a checkpoint of ours or of the published code.
        classnames: the classes to tell apart; by default those of the training.
        student: by default the one that the file names; another name for the same weights, such as a local file.
        method, settings: where the file does not say them, as checkpoints of the published code do not.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no prompt file, does not say what it belongs to and the arguments do not either, or does
            not belong to the student.
    """
    _, description, _ = read_prompt_file(prompts)
    said = description or {}
    method = method or said.get("method")
    student = student or said.get("student", {}).get("name")
    if unknown := [what for what, value in (("method", method), ("student", student)) if value is None]:
        raise ValueError(
            f"{prompts} does not say for which {' and '.join(unknown)} its prompts are. Say so: "
            'load(..., method="CoOp", student="ViT-B/16").'
        )
    try:
        entry = find_method(method)
        complete = entry.complete(settings if settings is not None else said.get("settings", {}))
    except ValueError as error:
        raise ValueError(f"{prompts}: {error}") from error
    if classnames is None:
        classnames = said.get("classnames") or []
    clip = load_clip(student)
    learner = entry.build_learner(clip, complete, len(classnames))
    description = load_prompts(prompts, method, learner, clip) or {"method": method, "settings": complete}
    model = PromptedCLIP(clip, learner, classnames, device=device, precision=precision)
    return Classifier(model, description, evaluation_transform(clip.preprocessing))


def _as_list(images: Any) -> Sequence:
    if isinstance(images, str | os.PathLike):
        return list_images(images) if Path(images).is_dir() else [images]
    return [images] if isinstance(images, Image.Image) else images
