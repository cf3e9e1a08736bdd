"""The teacher: zero-shot CLIP with the student's logit scale, a CLIP with learned prompts, or an ensemble."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from ..caching.features import FeatureCache, key_of
from ..caching.identity import identify_device
from ..clip.image_encoder import FrozenTower
from ..clip.licences import terms_of
from ..clip.loading import DeferredCLIP, check_clip_name, load_clip, sha256_of_clip
from ..clip.towers import Preprocessing
from ..clip.zero_shot import ZeroShotClassifier
from ..fingerprints import fingerprint
from ..names import PROMPTS_PREFIX, weights_identity
from ..prompts.prompt_file import read_prompt_file
from .prompted_teacher import PromptedTeacher

STUDENT_SCALE = "student"
SCALES = (STUDENT_SCALE, "own")


class Teacher(nn.Module):
    """A frozen CLIP, or several whose probabilities are averaged."""

    def __init__(self, classifiers: Sequence["ZeroShotClassifier | PromptedTeacher"]):
        super().__init__()
        self.classifiers = nn.ModuleList(classifiers)

    @property
    def weights_sha256(self) -> str:
        """Hashes of the weights files (for learned prompts: of the prompt file), separated by commas."""
        return ",".join(classifier.weights_sha256 for classifier in self.classifiers)

    @property
    def sources(self) -> list[dict[str, Any]]:
        """Known licences and origins of the CLIPs."""
        clips = [classifier.source for classifier in self.classifiers]
        facts = {clip.name: {**terms_of(clip.name), **getattr(clip, "source", {})} for clip in clips}
        return [{"name": name, **known} for name, known in facts.items() if known]

    @property
    def frozen_tower(self) -> FrozenTower:
        towers = [classifier.frozen_tower for classifier in self.classifiers]
        identities = [identity for tower in towers for identity in tower.identity]
        return FrozenTower(identities, self.image_features, max(tower.size for tower in towers))

    def image_features(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width) -> normalised features of all teachers, concatenated, (batch, sum of widths)."""
        return torch.cat([classifier.image_features(image) for classifier in self.classifiers], dim=-1)

    @torch.no_grad()
    def logits(self, image_features: Tensor) -> Tensor:
        """:meth:`image_features` -> logits (batch, n_cls); for several teachers, log-probabilities."""
        widths = [classifier.width for classifier in self.classifiers]
        parts = image_features.split(widths, dim=-1)
        logits = [classifier.logits(part) for classifier, part in zip(self.classifiers, parts, strict=True)]
        if len(logits) == 1:
            return logits[0]
        mean = torch.stack([each.softmax(dim=-1) for each in logits]).mean(dim=0)
        return mean.clamp_min(torch.finfo(torch.float32).tiny).log()

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width) -> logits (batch, n_cls)."""
        return self.logits(self.image_features(image))

    def train(self, mode: bool = True) -> "Teacher":
        """Stay in evaluation mode."""
        return super().train(False)


def teacher_names(names: str) -> list[str]:
    """Split the name of a teacher, one or several names separated by commas.

    >>> teacher_names("ViT-L/14, open_clip:ViT-H-14-quickgelu/dfn5b")
    ['ViT-L/14', 'open_clip:ViT-H-14-quickgelu/dfn5b']

    Raises:
        ValueError: if it is empty.
    """
    teachers = [name.strip() for name in names.split(",") if name.strip()]
    if not teachers:
        raise ValueError('The name of the teacher (TRAINER.KDPL.TEACHER) is empty. Choose one, such as "ViT-L/14".')
    return teachers


def check_teacher(names: str, scale: str = STUDENT_SCALE) -> None:
    """Refuse an unknown teacher, without downloading anything.

    Raises:
        ValueError: listing the choices, or if a prompt file cannot be read.
        FileNotFoundError: if a prompt file does not exist.
    """
    for name in clips_of_teacher(names):
        check_clip_name(name)
    if scale not in SCALES:
        raise ValueError(f"TRAINER.KDPL.TEACHER_SCALE is {scale!r}; choose from {', '.join(SCALES)}.")


def clip_of_teacher(name: str) -> str:
    """The CLIP that a single teacher needs: itself, or the student of its prompts.

    Raises:
        FileNotFoundError, ValueError: if it is a prompt file that cannot be read or does not name its student.
    """
    if not name.startswith(PROMPTS_PREFIX):
        return name
    file = name.removeprefix(PROMPTS_PREFIX)
    _, description, _ = read_prompt_file(file)
    if not description or "student" not in description:
        raise ValueError(f"{file} does not record which CLIP its prompts belong to, so it cannot be a teacher.")
    return description["student"]["name"]


def clips_of_teacher(names: str) -> list[str]:
    """All CLIPs that a teacher needs; see :func:`teacher_names` and :func:`clip_of_teacher`."""
    return list(map(clip_of_teacher, teacher_names(names)))


def build_teacher(
    names: str, classnames: Sequence[str], template: str, cache: FeatureCache | None = None, *,
    logit_scale: float | None = None, scale: str = STUDENT_SCALE, **settings: Any,
) -> Teacher:  # fmt: skip
    """Build the teacher called ``names``.

    Args:
        template: text with ``{}`` for the class name; not used for learned prompts.
        cache: stores text features; a CLIP whose text features are cached is loaded only if an image needs it.
        logit_scale: the student's, which the teacher uses in the paper.
        scale: "student", or "own" for the scale that each teacher was trained with. The bias of a sigmoid model is the
            same for all classes and does not affect their probabilities.
        settings: device, precision, pixel_mean and pixel_std, as for :class:`ZeroShotClassifier`.
    """
    settings["logit_scale"] = logit_scale if scale == STUDENT_SCALE else None
    return Teacher([_classifier(name, classnames, template, cache, settings) for name in teacher_names(names)])


def _classifier(
    name: str, classnames: Sequence[str], template: str, cache: FeatureCache | None, settings: dict[str, Any]
) -> ZeroShotClassifier | PromptedTeacher:
    if name.startswith(PROMPTS_PREFIX):
        print(f"Loading CLIP with prompts (teacher: {name})")
        return PromptedTeacher(name.removeprefix(PROMPTS_PREFIX), classnames, **settings)
    space, keys = None, [key_of(i) for i in range(len(classnames))]
    if cache is not None:
        sha256 = sha256_of_clip(name)
        depends_on = {
            "weights": weights_identity(name, sha256), "precision": settings["precision"].name, "texts": template,
            "names": fingerprint(list(classnames)), **identify_device(settings["device"]),
        }  # fmt: skip
        space = cache.space(depends_on)
        rows = space.lookup(keys)
        if space.notes and all(row is not None for row in rows):
            print(f"CLIP (teacher: {name}) will be loaded only if the cache lacks features; template: {template}")
            facts = {k: tuple(v) if isinstance(v, list) else v for k, v in space.notes["preprocessing"].items()}
            clip = DeferredCLIP(name, sha256, Preprocessing(**facts), space.notes["logit_scale"])
            return ZeroShotClassifier(clip, classnames, [template], text_features=torch.stack(rows), **settings)
    print(f"Loading CLIP (teacher: {name}); template: {template}")
    classifier = ZeroShotClassifier(load_clip(name), classnames, [template], **settings)
    if space is not None:
        clip = classifier.source
        notes = {"preprocessing": asdict(clip.preprocessing), "logit_scale": clip.logit_scale}
        space = cache.space(depends_on, notes)
        classifier.text_features = space.complete(keys, lambda missing: classifier.text_features[missing])
        classifier.text_features = classifier.text_features.to(classifier.device)
    return classifier


def describe_teacher(names: str, teacher: Teacher, scale: str) -> dict[str, Any]:
    """The entry for a teacher in prompt files."""
    described: dict[str, Any] = {"name": names, "sha256": teacher.weights_sha256}
    if teacher.sources:
        described["sources"] = teacher.sources
    if scale == STUDENT_SCALE:
        return described
    departure = "the teacher's cosines are scaled by its own scale; in the paper by the student's"
    return described | {"scale": scale, "departure": departure}
