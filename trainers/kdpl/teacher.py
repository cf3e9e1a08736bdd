"""The teacher: a frozen CLIP that classifies by the class names it is given; also zero-shot CLIP."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .clip_loading import LoadedCLIP, load_clip
from .encoders import ImageEncoder, normalise
from .precision import Precision
from .templates import GENERIC
from .text_features import mean_text_features


class ZeroShotClassifier(nn.Module):
    """Logits of a frozen CLIP for fixed classes; text features are computed once."""

    def __init__(
        self,
        loaded: LoadedCLIP,
        classnames: Sequence[str],
        templates: Sequence[str] = (GENERIC,),
        *,
        precision: Precision,
        device: torch.device,
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
        logit_scale: float | None = None,
    ):
        """
        Args:
            loaded: the CLIP; it is moved to the device and cast.
            templates: sentences with ``{}`` for the name; several: their ensemble.
            pixel_mean, pixel_std: what the images that will come were normalised with; by default as this CLIP wants.
            logit_scale: the factor of the cosines; by default this CLIP's own. A teacher is given its student's.
        """
        super().__init__()
        self.clip = precision.cast_frozen(loaded.model).to(device)
        self.encode_image = ImageEncoder(self.clip) if loaded.is_openai else self.clip.encode_image
        self.precision = precision
        self.resolution = loaded.resolution
        self.logit_scale = float(self.clip.logit_scale.exp()) if logit_scale is None else logit_scale
        mean_std = torch.tensor([pixel_mean or loaded.mean, pixel_std or loaded.std, loaded.mean, loaded.std])
        mean, std, own_mean, own_std = mean_std.to(device)[..., None, None]  # (3, 1, 1) each
        self.same_pixels = torch.equal(mean, own_mean) and torch.equal(std, own_std)
        self.pixel_scale, self.pixel_shift = std / own_std, (mean - own_mean) / own_std
        ensemble = len(templates) > 1
        self.text_features = normalise(mean_text_features(loaded, classnames, templates, precision, ensemble))
        self.eval()

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width), normalised -> logits (batch, n_cls), float32."""
        if image.shape[-1] != self.resolution:
            image = F.interpolate(image, size=(self.resolution,) * 2, mode="bicubic", antialias=True)
        if not self.same_pixels:
            image = image * self.pixel_scale + self.pixel_shift
        with self.precision.autocast():
            image_features = self.encode_image(image)
        return self.logit_scale * normalise(image_features) @ self.text_features.T

    def train(self, mode: bool = True) -> "ZeroShotClassifier":
        """A frozen model stays in evaluation mode."""
        return super().train(False)


class AveragedTeachers(nn.Module):
    """Several teachers as one: the mean of their probabilities."""

    def __init__(self, teachers: Sequence[ZeroShotClassifier]):
        super().__init__()
        self.teachers = nn.ModuleList(teachers)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width) -> log-probabilities (batch, n_cls), which serve as logits."""
        probabilities = [teacher(image).softmax(dim=-1) for teacher in self.teachers]
        return torch.stack(probabilities).mean(dim=0).clamp_min(torch.finfo(torch.float32).tiny).log()


def teacher_names(names: str) -> list[str]:
    """The CLIPs that TRAINER.KDPL.TEACHER names, separated by commas.

    Raises:
        ValueError: if it names none.
    """
    teachers = [name.strip() for name in names.split(",") if name.strip()]
    if not teachers:
        raise ValueError('TRAINER.KDPL.TEACHER is empty. Name a teacher, such as "ViT-L/14".')
    return teachers


def build_teacher(names: str, classnames: Sequence[str], template: str, **settings) -> tuple[nn.Module, str]:
    """The teacher that ``names`` stands for, or the average of several, and the SHA-256 of its weights.

    Args:
        template: a sentence with ``{}`` for the class name.
        settings: as :class:`ZeroShotClassifier` takes them; ``logit_scale`` is the student's.
    """
    teachers, sha256 = [], []
    for name in teacher_names(names):
        loaded = load_clip(name)
        print(f"Loading CLIP (teacher: {name}); its texts: {template}")
        teachers.append(ZeroShotClassifier(loaded, classnames, [template], **settings))
        sha256.append(loaded.weights_sha256)
    return teachers[0] if len(teachers) == 1 else AveragedTeachers(teachers), ",".join(sha256)
