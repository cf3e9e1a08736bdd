"""Learned prompts ready for use."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from .clip.loading import load_clip
from .clip.precision import Precision
from .conversion import describe, read_facts
from .export import ExportReport, export_model, noise_pictures
from .hub import fetch_prompts, is_repository, push
from .images.inputs import each_image, to_picture
from .images.transforms import evaluation_transform
from .prompts.prompt_file import Description, load_prompts, save_prompt_file
from .prompts.prompted_clip import PromptedCLIP

BATCH = 100  # images per forward pass, as in the trainers' evaluation: the last bits of a result depend on it
UNREADABLE = ("raise", "keep")


class Prediction(NamedTuple):
    """A classifier's prediction for one image.

    >>> Prediction("cat", 0.9, [("cat", 0.9), ("dog", 0.1)]).classname
    'cat'
    """

    classname: str | None  # the most likely class; None for an image that could not be read
    probability: float  # of that class, 0 to 1
    top: list[tuple[str, float]]  # the most likely classes with their probabilities
    error: str | None = None  # why the image could not be read


class Classifier:
    """A student CLIP with learned prompts.

    >>> import kdpl, PIL.Image
    >>> from kdpl.images.transforms import evaluation_transform
    >>> clip = kdpl.load_clip("demo:student")
    >>> model = kdpl.PromptedCLIP(clip, kdpl.CoOpPromptLearner(clip), ["red circle", "blue square"], device="cpu")
    >>> classifier = kdpl.Classifier(model, {}, evaluation_transform(clip.preprocessing))
    >>> len(classifier.predict([PIL.Image.new("RGB", (64, 64), "red")] * 3))
    3
    >>> classifier.with_classnames(["cat", "dog", "bird"]).text_features.shape
    torch.Size([3, 64])

    ``images`` may be one image or several: paths, folders, PIL images, arrays (height, width, 3), tensors
    (3, height, width), batches or iterables of these; see :func:`kdpl.images.inputs.to_picture`. The result always has
    one entry per image, even for a single image.

    Attributes:
        model: the student with its prompts.
        description: where the prompts come from and which student they belong to.
        transform: maps a PIL image to the student's input, (3, size, size).
    """

    def __init__(self, model: PromptedCLIP, description: Description, transform: Callable[[Image.Image], Tensor]):
        self.model = model
        self.description = description
        self.transform = transform

    @property
    def classnames(self) -> list[str]:
        return self.model.classnames

    def with_classnames(self, classnames: Sequence[str]) -> "Classifier":
        """A classifier with the same prompts for other classes.

        Raises:
            ValueError: if the prompts are class-specific (CSC) and the number of classes differs.
        """
        model = self.model
        other = PromptedCLIP(
            model.clip, model.prompt_learner, classnames, device=model.device, precision=model.precision
        )
        return Classifier(other, self.description, self.transform)

    def predict(
        self, images: Any, top: int = 1, batch_size: int = BATCH, unreadable: str = "raise"
    ) -> list[Prediction]:
        """Classify images.

        Args:
            top: number of classes to return per image.
            batch_size: images per forward pass.
            unreadable: "raise" stops at the first image that cannot be read; "keep" returns an entry with ``error``.

        Raises:
            FileNotFoundError, ValueError, TypeError: if an image cannot be read, or there are no class names.
        """
        if top < 1 or unreadable not in UNREADABLE:
            raise ValueError(
                f"top is {top}, unreadable is {unreadable!r}; top must be at least 1, unreadable one of {UNREADABLE}."
            )
        errors: list[str | None] = []
        batches = self._batches(each_image(images), batch_size, errors if unreadable == "keep" else None)
        found = [rows for logits in self.each_logits(batches) for rows in self.predictions(logits, top)]
        return [
            Prediction(None, float("nan"), [], errors[i]) if errors and errors[i] else row
            for i, row in enumerate(found)
        ]

    def logits(self, images: Any, batch_size: int = BATCH) -> Tensor:
        """Cosine similarities times the student's scale, (n_images, n_cls), float32.

        Raises:
            FileNotFoundError, ValueError, TypeError: as :meth:`predict`.
        """
        found = [logits.float() for logits in self.each_logits(self._batches(each_image(images), batch_size))]
        return torch.cat(found) if found else torch.zeros(0, len(self.classnames))

    @torch.no_grad()
    def image_features(self, images: Any, batch_size: int = BATCH) -> Tensor:
        """Normalised image features (n_images, embed_dim), float32; needs no class names.

        Raises:
            FileNotFoundError, ValueError, TypeError: if an image cannot be read.
        """
        found = []
        for batch in self._batches(each_image(images), batch_size):
            with self.model.precision.autocast():
                found.append(self.model.image_features(batch.to(self.model.device)))
        return torch.cat(found) if found else torch.zeros(0, self.model.clip.towers.text.embed_dim)

    @property
    def text_features(self) -> Tensor:
        """Normalised text features of the classes, (n_cls, embed_dim), float32.

        Raises:
            ValueError: if there are no class names, or the prompts depend on the image (CoCoOp).
        """
        self.check_classnames()
        if self.model.prompt_learner.depends_on_image:
            raise ValueError(
                f"The prompts of {self.description.get('method', 'this method')} depend on the image, so there are no "
                "fixed text features per class. CoOp, MaPLe, PromptSRC and KgCoOp have them."
            )
        with self.model.precision.autocast(), self.model.fixed_prompts() as text_features:
            return text_features[0]

    def probabilities(self, image: Tensor) -> Tensor:
        """Class probabilities (batch, n_cls) of transformed images (batch, 3, size, size).

        Raises:
            ValueError: if the classifier has no class names.
        """
        return next(self.each_logits([image])).float().softmax(dim=-1)

    def each_logits(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield logits (n, n_cls) for each transformed batch (n, 3, size, size); text features are computed once.

        Raises:
            ValueError: if the classifier has no class names.
        """
        self.check_classnames()
        model = self.model
        with torch.no_grad(), model.precision.autocast(), model.fixed_prompts() as text_features:
            pass
        for batch in batches:
            with torch.no_grad(), model.precision.autocast(), model.fixed_prompts(text_features):
                logits = model(batch.to(model.device))
            yield logits  # outside the with block, whose contexts would otherwise stay active in the caller

    def predictions(self, logits: Tensor, top: int) -> Iterator[Prediction]:
        """One prediction per row of logits (n, n_cls)."""
        values, indices = logits.double().softmax(dim=-1).topk(min(top, len(self.classnames)), dim=-1)
        for row, classes in zip(values.tolist(), indices.tolist(), strict=True):
            best = [(self.classnames[i], value) for i, value in zip(classes, row, strict=True)]
            yield Prediction(*best[0], best)

    def save(self, path: str | os.PathLike) -> None:
        """Write the prompts and their description to a prompt file."""
        save_prompt_file(path, self.model.prompt_learner, self.description)

    def export(self, path: str | os.PathLike, *, with_preprocessing: bool = False, images: Any = None) -> ExportReport:
        """Export the classifier for use without this library, and check that the export gives the same results.

        Args:
            path: ``model.onnx`` (ONNX), ``model.pt2`` (torch.export), or ``classifier.safetensors``: text features
                (n_cls, embed_dim) to use with the plain CLIP, for methods without prompts in the image tower.
            with_preprocessing: export a model that takes uint8 (batch, 3, height, width) and resizes, crops and
                normalises by itself.
            images: images to compare on, as :meth:`predict` takes them; by default noise.

        Raises:
            ValueError: if a package or class names are missing, or the method has no export in this format.
            FloatingPointError: if the exported model gives different results.
        """
        self.check_classnames()
        pictures = noise_pictures() if images is None else [to_picture(image) for image in each_image(images)]
        return export_model(
            Path(path), self.model, self.transform, self.description, pictures, with_preprocessing=with_preprocessing
        )

    def push_to_hub(self, repository: str, *, private: bool | None = None, token: str | None = None) -> str:
        """Commit the prompt file and a model card to a repository on the Hugging Face Hub, creating it if needed.

        Args:
            repository: such as "somebody/birds"; :func:`load` and :meth:`from_pretrained` take that name.

        Returns:
            The URL of the commit.

        Raises:
            ConnectionError: if the Hub cannot be reached or refuses.
        """
        return push(repository, self.save, self.description, private=private, token=token)

    @staticmethod
    def from_pretrained(repository: str, **arguments: Any) -> "Classifier":
        """:func:`load`, under the name that Hugging Face libraries use."""
        return load(repository, **arguments)

    def check_classnames(self) -> None:
        """Refuse a classifier without class names.

        Raises:
            ValueError: if it has none; the message says how to add them.
        """
        if not self.classnames:
            raise ValueError(
                "This classifier has no class names, because its prompts were learned without any. Pass them: "
                "with_classnames(['cat', 'dog']), or --classnames on the command line."
            )

    def _batches(self, images: Iterator, batch_size: int, errors: list[str | None] | None = None) -> Iterator[Tensor]:
        """Transformed batches; if ``errors`` is given, zeros replace an image that cannot be read."""
        while chunk := list(islice(images, batch_size)):
            batch = []
            for image in chunk:
                try:
                    batch.append(self.transform(to_picture(image)))
                    problem = None
                except (ValueError, OSError) as error:
                    if errors is None:
                        raise
                    batch.append(torch.zeros(3, *[self.model.clip.preprocessing.size] * 2))
                    problem = str(error)
                if errors is not None:
                    errors.append(problem)
            yield torch.stack(batch)


def load(
    prompts: str | os.PathLike,
    classnames: Sequence[str] | None = None,
    *,
    device: str | torch.device = "auto",
    precision: str | Precision = "fp32",
    student: str | None = None,
    method: str | None = None,
    settings: Mapping[str, Any] | None = None,
    revision: str | None = None,
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
        prompts: a prompt file (prompts.safetensors), a checkpoint of this or the published code, or a repository on the
            Hugging Face Hub ("somebody/birds", which needs huggingface_hub).
        classnames: the classes to choose from; by default those seen in training.
        student: another name for the student's weights, such as a local file; by default the name in the file.
        method, settings: needed only for files that do not record them, such as checkpoints of the published code.
            Prompt lengths and depths are then read from the tensors; ``settings`` overrides other published values.
        revision: branch, tag or commit of a repository.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a prompt file, neither it nor the arguments name the method and student, or it belongs
            to another student.
        ConnectionError: if the student or the repository cannot be downloaded.
    """
    file = fetch_prompts(prompts, revision) if is_repository(prompts) else prompts
    facts = read_facts(file, os.fspath(prompts), method, student, settings, classnames)
    clip = load_clip(facts.student)
    learner = facts.method.build_learner(clip, facts.settings, len(facts.classnames))
    description = load_prompts(file, facts.method.name, learner, clip)
    model = PromptedCLIP(clip, learner, facts.classnames, device=device, precision=precision)
    description = description or describe(file, facts.method, facts.settings, model)
    return Classifier(model, description, evaluation_transform(clip.preprocessing))
