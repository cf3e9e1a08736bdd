"""Learn prompts from unlabelled images: the whole method in one call."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .atomic_files import check_place
from .caching.features import FeatureCache, open_cache
from .classifier import Classifier, load
from .clip.device import resolve_device
from .clip.loading import check_clip_name, load_clip
from .clip.templates import GENERIC
from .distillation.needs import check_needs
from .distillation.recipe import Recipe
from .distillation.resume import FILE_NAME, read_resume_state, resume, save_resume_state
from .distillation.training import Progress, Training
from .distillation.vocabulary import load_vocabulary
from .downloads import cache_dir
from .fingerprints import fingerprint
from .images.files import check_images, list_images
from .images.seeded_loader import seeded_loader
from .images.transforms import evaluation_transform, training_transform
from .locks import sole_writer
from .methods import find_method
from .names import list_of_names
from .prompts.prompt_file import read_prompt_file, save_prompt_file
from .settings import check_settings

REPORTS_PER_EPOCH = 4


def distill(
    images: str | os.PathLike | Sequence, classnames: Sequence[str] | None = None, *,
    method: str = "CoOp", student: str = "ViT-B/32", teacher: str = "ViT-L/14",
    settings: Mapping[str, Any] | None = None, template: str = GENERIC,
    vocabulary: str | os.PathLike | Sequence[str] = "", max_classes: int = 1000,
    epochs: int | None = None, batch_size: int | None = None, lr: float | None = None,
    optimizer: str = "sgd", momentum: float = 0.9, weight_decay: float = 5e-4,
    warmup_epochs: int = 1, warmup_lr: float = 1e-5, transform: Callable | None = None, seed: int = 1,
    device: str | torch.device = "auto", precision: str = "fp32", teacher_precision: str | None = None,
    teacher_scale: str = "student", n_workers: int = 0, views: int = 0, progress: bool = True,
    cache: str | os.PathLike | FeatureCache | None = None, output: str | os.PathLike | None = None,
    before_training: Callable[[Training], None] | None = None,
) -> Classifier:  # fmt: skip
    """Learn the prompts of a student CLIP from a teacher CLIP on unlabelled images (KDPL, arXiv:2407.03056).

    >>> import kdpl, PIL.Image
    >>> images = [PIL.Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue", "black")]
    >>> demo = {"student": "demo:student", "teacher": "demo:teacher", "device": "cpu", "progress": False}
    >>> classifier = kdpl.distill(images, ["red circle", "blue square"], epochs=1, batch_size=2, **demo)
    Loading CLIP (teacher: demo:teacher); template: a photo of a {}.
    >>> classifier.predict(images[0])[0].classname in ("red circle", "blue square")
    True

    Args:
        images: a folder, read in sorted order; a list of paths; or a torch dataset of PIL images or of tuples that
            start with one (the rest of the tuple is never read).
        classnames: the classes. None trains class-agnostically (KDPL-CA) on ``vocabulary``, a list or a file with one
            name per line (default: Open Images), of which each batch keeps ``max_classes``.
        method, settings: one of ``METHODS`` and settings that differ from the published ones, such as {"n_ctx": 8}.
        student, teacher: as :func:`load_clip` takes them; the teacher also "prompts:FILE", or several with commas.
        template: the teacher's text, with ``{}`` for the class name; class-agnostic training uses "a photo of a {}.".
        epochs, batch_size, lr, optimizer: by default as published; "sgd", "adam" or "adamw" with a cosine schedule.
        transform: maps a PIL image to (3, size, size); by default a random resized crop and flip.
        device, precision, teacher_precision: "auto", "cuda", "mps", "cpu"; "fp32", "bf16", "fp16", "amp", "auto".
        teacher_scale: logit scale of the teacher: "student", as in the paper, or "own".
        views: augmentations per image, reused across epochs; 0 draws new ones in every epoch, as published.
        cache: folder or :class:`FeatureCache` that stores the features of frozen towers for this and later calls.
            Results are bit-identical with and without it. Used only for images that are files.
        output: prompt file to write. If interrupted, the same call resumes after its last finished epoch, with the same
            result; a finished file is loaded, and one written with other arguments is refused.
        before_training: called once with the :class:`Training` that is about to run.

    Returns:
        The student with its prompts; after class-agnostic training, see :meth:`Classifier.with_classnames`.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: before training, if an argument or image is unusable.
        FloatingPointError: if a loss or gradient is not finite.
    """
    entry, device = find_method(method), resolve_device(device)
    names = None if classnames is None else list_of_names(classnames, "classnames")
    vocabulary = check_needed(student, teacher, teacher_scale, vocabulary if names is None else [])
    recipe = Recipe(
        entry, entry.complete(settings or {}), student, teacher, names,
        vocabulary, max_classes, template, _first(epochs, entry.epochs),
        _first(batch_size, entry.batch_size), _first(lr, entry.lr), optimizer, momentum, weight_decay, warmup_epochs,
        warmup_lr, seed, precision, _first(teacher_precision, precision), teacher_scale, views, open_cache(cache),
        os.fspath(images) if isinstance(images, str | os.PathLike) else None,
    )  # fmt: skip
    return _run(recipe, images, transform, device, n_workers, output and Path(output), progress, before_training)


def _writing(output: Path | None) -> AbstractContextManager[None]:
    """Prevent other processes from writing to the same file."""
    if output is None:
        return nullcontext()
    return sole_writer(output, cache_dir() / "writers" / fingerprint(os.path.abspath(output))[:32])


def check_needed(
    student: str, teacher: str, teacher_scale: str, vocabulary: str | os.PathLike | Sequence[str]
) -> list[str]:
    """Check names of CLIPs and, when offline, that their files exist, before anything is read.

    Returns:
        The names of the vocabulary.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: if one is unknown, missing, or cannot be downloaded.
    """
    check_clip_name(student)
    from_file = isinstance(vocabulary, str | os.PathLike)
    check_needs(teacher, teacher_scale, student, from_file, os.fspath(vocabulary) if from_file else "")
    return load_vocabulary(os.fspath(vocabulary)) if from_file else list_of_names(vocabulary, "vocabulary")


def _run(
    recipe: Recipe,
    images: str | os.PathLike | Sequence,
    transform: Callable | None,
    device: torch.device,
    n_workers: int,
    output: Path | None,
    progress: bool,
    before_training: Callable[[Training], None] | None,
) -> Classifier:
    if output is not None and not output.exists():
        check_place(output)
    images, identity = _images(images)
    clip = load_clip(recipe.student)
    transform = transform or training_transform(clip.preprocessing)
    depends_on = recipe.depends_on(clip, fingerprint([identity, repr(transform)]))
    if output is not None and output.exists():
        _check_finished(output, depends_on)
        return load(output, recipe.classnames, device=device, precision=recipe.precision)
    loader = seeded_loader(
        images, transform, recipe.batch_size, n_workers, recipe.seed, pin_memory=device.type == "cuda",
        views=recipe.views,
    )  # fmt: skip
    training = recipe.build(clip, loader, device)
    if before_training:
        before_training(training)
    with _writing(output):
        _train(training, output, depends_on, progress)
        description = recipe.describe(clip, training, depends_on)
        if output is not None:
            save_prompt_file(output, training.model.prompt_learner, description)
            _resume_file(output).unlink(missing_ok=True)
    if recipe.class_agnostic:
        training.model.set_classnames([])
    return Classifier(training.model, description, evaluation_transform(clip.preprocessing))


def _train(training: Training, output: Path | None, depends_on: dict[str, Any], progress: bool) -> None:
    """Run the remaining epochs, saving the state after each."""
    file = None if output is None else _resume_file(output)
    if file is not None and file.exists():
        resume(file, training, read_resume_state(file, depends_on))
        print(f"Resuming from {file} after epoch {training.epoch}")
    n_batches = len(training.loader)
    with tqdm(total=training.n_epochs * n_batches, unit="batch", disable=not progress) as bar:
        bar.update(training.epoch * n_batches)

        def report(step: Progress) -> None:
            bar.update(len(step.steps))
            bar.set_postfix(epoch=f"{training.epoch + 1}/{training.n_epochs}", loss=f"{step.steps[-1]['loss']:.4f}")

        while training.epoch < training.n_epochs:
            training.run_epoch(report, max(1, n_batches // REPORTS_PER_EPOCH))
            training.scheduler.step()
            training.finish_epoch()
            if file is not None:
                save_resume_state(file, training, depends_on, {})


def _check_finished(output: Path, depends_on: dict[str, Any]) -> None:
    """Refuse a prompt file that was written with other arguments."""
    _, description, _ = read_prompt_file(output)
    before = (description or {}).get("depends_on")
    if before is None:
        raise ValueError(f"{output} exists and was not written by distill. Choose another output, or remove it.")
    check_settings(output, before, depends_on, {})


def _resume_file(output: Path) -> Path:
    return output.with_name(f"{output.name}.{FILE_NAME}")


def _images(images: str | os.PathLike | Sequence) -> tuple[Sequence, object]:
    """The training images, and plain values that identify them.

    Raises:
        FileNotFoundError, ValueError: if there are none, or naming the files that cannot be read.
    """
    folder = Path(images) if isinstance(images, str | os.PathLike) else None
    if folder is not None:
        images = list_images(folder)
    if not len(images):
        raise ValueError("There are no images to train on.")
    if not isinstance(images[0], str | os.PathLike):
        return images, len(images)
    check_images(images)
    root = folder or os.path.commonpath([os.path.abspath(os.path.dirname(path)) for path in images])
    return images, [(os.path.relpath(path, root), os.path.getsize(path)) for path in images]


def _first(given: Any, otherwise: Any) -> Any:
    return otherwise if given is None else given
