"""The teacher: zero-shot CLIP at the student's scale, or several of them as one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..clip.loading import load_clip
from ..clip.zero_shot import ZeroShotClassifier


class Teacher(nn.Module):
    """One frozen CLIP, or several whose probabilities are averaged."""

    def __init__(self, classifiers: Sequence[ZeroShotClassifier]):
        super().__init__()
        self.classifiers = nn.ModuleList(classifiers)

    @property
    def weights_sha256(self) -> str:
        """Of the weights files, separated by commas."""
        return ",".join(classifier.clip.weights_sha256 for classifier in self.classifiers)

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


def build_teacher(names: str, classnames: Sequence[str], template: str, **settings) -> Teacher:
    """The teacher that ``names`` stands for.

    Args:
        template: a sentence with ``{}`` for the class name.
        settings: as :class:`ZeroShotClassifier` takes them; ``logit_scale`` is the student's.
    """
    classifiers = []
    for name in teacher_names(names):
        print(f"Loading CLIP (teacher: {name}); its texts: {template}")
        classifiers.append(ZeroShotClassifier(load_clip(name), classnames, [template], **settings))
    return Teacher(classifiers)
