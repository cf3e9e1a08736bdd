"""Zero-shot CLIP: a frozen CLIP that classifies images by class names."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from ..names import weights_identity
from .adaptation import Adaptation
from .device import resolve_device
from .image_encoder import FrozenTower, ImageEncoder
from .loaded import LoadedCLIP
from .loading import DeferredCLIP
from .precision import Precision, resolve_precision
from .templates import GENERIC
from .text_features import mean_text_features
from .towers import normalise


class ZeroShotClassifier(nn.Module):
    """A frozen CLIP that gives logits for fixed classes; text features are computed once.

    >>> import kdpl
    >>> clip = kdpl.load_clip("demo:teacher")
    >>> classifier = kdpl.ZeroShotClassifier(clip, ["red circle", "blue square"], device="cpu")
    >>> classifier(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 2])
    """

    def __init__(
        self,
        clip: LoadedCLIP | DeferredCLIP,
        classnames: Sequence[str],
        templates: Sequence[str] = (GENERIC,),
        *,
        device: str | torch.device = "auto",
        precision: str | Precision = "fp32",
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
        logit_scale: float | None = None,
        text_features: Tensor | None = None,
    ):
        """
        Args:
            clip: copied to the device and precision if necessary, never modified.
            templates: texts with ``{}`` for the class name; several form an ensemble.
            pixel_mean, pixel_std: normalisation of the input images; by default this CLIP's own.
            logit_scale: factor of the cosine similarities; by default this CLIP's own. A teacher uses its student's.
            text_features: (n_cls, embed_dim) for these class names and templates, if already known.

        Raises:
            ValueError: if the device or precision does not exist, or a text is too long.
        """
        super().__init__()
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.source = clip
        self.weights_sha256 = clip.weights_sha256
        self.logit_scale = clip.logit_scale if logit_scale is None else logit_scale
        self.adapt = Adaptation(clip.preprocessing, pixel_mean, pixel_std, self.device)
        if text_features is None:
            several = len(templates) > 1
            text_features = normalise(
                mean_text_features(self.clip, classnames, templates, self.precision, normalise_each=several)
            )
        self.text_features = text_features.to(self.device)
        self.eval()

    @cached_property
    def clip(self) -> LoadedCLIP:
        """The CLIP on the device."""
        return self.source.on(self.device, self.precision)

    @cached_property
    def encode_image(self) -> ImageEncoder:
        return ImageEncoder(self.clip.towers)

    @property
    def frozen_tower(self) -> FrozenTower:
        weights = weights_identity(self.source.name, self.weights_sha256)
        identity = {"weights": weights, "precision": self.precision.name, "pixels": self.adapt.identity}
        return FrozenTower([identity], self.image_features, self.source.preprocessing.size)

    evaluation_tower = frozen_tower  # evaluation needs no other features of the images

    @torch.no_grad()
    def image_features(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width), normalised pixels -> (batch, embed_dim), normalised, float32."""
        with self.precision.autocast():
            return normalise(self.encode_image(self.adapt(image)))

    @property
    def width(self) -> int:
        """Dimension of the features."""
        return self.text_features.shape[1]

    def logits(self, image_features: Tensor) -> Tensor:
        """(batch, embed_dim), normalised -> (batch, n_cls), float32."""
        return self.logit_scale * image_features @ self.text_features.T

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width), normalised pixels -> logits (batch, n_cls), float32."""
        return self.logits(self.image_features(image))

    def train(self, mode: bool = True) -> "ZeroShotClassifier":
        """Stay in evaluation mode."""
        return super().train(False)
