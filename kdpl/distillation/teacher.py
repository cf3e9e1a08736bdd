"""The teacher: zero-shot CLIP at the student's scale, or several of them as one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from ..caching.features import FeatureCache, key_of
from ..caching.identity import identify_device
from ..clip.image_encoder import FrozenTower
from ..clip.loading import DeferredCLIP, load_clip, sha256_of_clip
from ..clip.towers import Preprocessing
from ..clip.zero_shot import ZeroShotClassifier
from ..fingerprints import fingerprint


class Teacher(nn.Module):
    """One frozen CLIP, or several whose probabilities are averaged."""

    def __init__(self, classifiers: Sequence[ZeroShotClassifier]):
        super().__init__()
        self.classifiers = nn.ModuleList(classifiers)

    @property
    def weights_sha256(self) -> str:
        """Of the weights files, separated by commas."""
        return ",".join(classifier.weights_sha256 for classifier in self.classifiers)

    @property
    def frozen_tower(self) -> FrozenTower:
        identities = [identity for classifier in self.classifiers for identity in classifier.frozen_tower.identity]
        return FrozenTower(identities, self.image_features)

    def image_features(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width) -> normalised features of all teachers side by side, (batch, sum of widths)."""
        return torch.cat([classifier.image_features(image) for classifier in self.classifiers], dim=-1)

    @torch.no_grad()
    def logits(self, image_features: Tensor) -> Tensor:
        """What :meth:`image_features` gave -> logits (batch, n_cls); of several teachers log-probabilities."""
        widths = [classifier.text_features.shape[1] for classifier in self.classifiers]
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
        """A frozen model stays in evaluation mode."""
        return super().train(False)


def teacher_names(names: str) -> list[str]:
    """The CLIPs that a teacher's name stands for, separated by commas.

    >>> teacher_names("ViT-L/14, open_clip:ViT-H-14-quickgelu/dfn5b")
    ['ViT-L/14', 'open_clip:ViT-H-14-quickgelu/dfn5b']

    Raises:
        ValueError: if it names none.
    """
    teachers = [name.strip() for name in names.split(",") if name.strip()]
    if not teachers:
        raise ValueError('The name of the teacher (TRAINER.KDPL.TEACHER) is empty. Name one, such as "ViT-L/14".')
    return teachers


def build_teacher(
    names: str, classnames: Sequence[str], template: str, cache: FeatureCache | None = None, **settings
) -> Teacher:
    """The teacher that ``names`` stands for.

    Args:
        template: a sentence with ``{}`` for the class name.
        cache: keeps the text features; a CLIP whose features it has is loaded when an image needs it.
        settings: as :class:`ZeroShotClassifier` takes them; ``logit_scale`` is the student's.
    """
    return Teacher([_classifier(name, classnames, template, cache, settings) for name in teacher_names(names)])


def _classifier(
    name: str, classnames: Sequence[str], template: str, cache: FeatureCache | None, settings: dict[str, Any]
) -> ZeroShotClassifier:
    space, keys = None, [key_of(i) for i in range(len(classnames))]
    if cache is not None:
        depends_on = {
            "weights": sha256_of_clip(name), "precision": settings["precision"].name, "texts": template,
            "names": fingerprint(list(classnames)), **identify_device(settings["device"]),
        }  # fmt: skip
        space = cache.space(depends_on)
        rows = space.lookup(keys)
        if space.notes and all(row is not None for row in rows):
            preprocessing = Preprocessing(**{k: tuple(v) if isinstance(v, list) else v for k, v in space.notes.items()})
            print(f"CLIP (teacher: {name}) is loaded if the feature cache lacks something; its texts: {template}")
            clip = DeferredCLIP(name, depends_on["weights"], preprocessing)
            return ZeroShotClassifier(clip, classnames, [template], text_features=torch.stack(rows), **settings)
    print(f"Loading CLIP (teacher: {name}); its texts: {template}")
    classifier = ZeroShotClassifier(load_clip(name), classnames, [template], **settings)
    if space is not None:
        space = cache.space(depends_on, notes=asdict(classifier.source.preprocessing))
        classifier.text_features = space.complete(keys, lambda missing: classifier.text_features[missing])
        classifier.text_features = classifier.text_features.to(classifier.device)
    return classifier
