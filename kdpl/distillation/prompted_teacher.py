"""A teacher with prompts learned in an earlier run, as in PromptKD (Li et al., CVPR 2024, arXiv:2403.02781)."""

import os
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from ..classifier import load
from ..clip.adaptation import Adaptation
from ..clip.image_encoder import FrozenTower
from ..clip.loaded import LoadedCLIP
from ..clip.precision import Precision
from ..fingerprints import sha256_of
from ..names import weights_identity


class PromptedTeacher(nn.Module):
    """A frozen CLIP with learned prompts, with the interface of :class:`ZeroShotClassifier`."""

    def __init__(
        self,
        prompts: str | os.PathLike,
        classnames: Sequence[str],
        *,
        device: str | torch.device = "auto",
        precision: str | Precision = "fp32",
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
        logit_scale: float | None = None,
    ):
        """
        Args:
            prompts: prompt file or checkpoint.
            pixel_mean, pixel_std: normalisation of the input images; by default the CLIP's own.
            logit_scale: factor of the cosine similarities; by default the CLIP's own.

        Raises:
            FileNotFoundError, ValueError: if the prompts cannot be used for these classes.
        """
        super().__init__()
        self.model = load(prompts, classnames, device=device, precision=precision).model.requires_grad_(False)
        self.source = self.model.clip
        self.weights_sha256 = sha256_of(prompts)
        self.adapt = Adaptation(self.clip.preprocessing, pixel_mean, pixel_std, self.model.device)
        self.logit_scale = self.model.logit_scale if logit_scale is None else logit_scale
        with self.model.precision.autocast():  # left open, because these prompts never change
            self._fixed = ExitStack()
            self._fixed.enter_context(self.model.fixed_prompts())
        self.eval()

    @property
    def frozen_tower(self) -> FrozenTower:
        weights = weights_identity(self.clip.name, self.clip.weights_sha256)
        identity = {"weights": weights, "prompts": self.weights_sha256, "precision": self.model.precision.name,
                    "pixels": self.adapt.identity}  # fmt: skip
        return FrozenTower([identity], self.image_features, self.clip.preprocessing.size)

    @property
    def clip(self) -> LoadedCLIP:
        return self.model.clip

    @property
    def width(self) -> int:
        """Dimension of the features."""
        return self.clip.towers.text.embed_dim

    @torch.no_grad()
    def image_features(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width), normalised pixels -> (batch, embed_dim), normalised, float32."""
        with self.model.precision.autocast():
            return self.model.image_features(self.adapt(image))

    @torch.no_grad()
    def logits(self, image_features: Tensor) -> Tensor:
        """(batch, embed_dim), normalised -> (batch, n_cls), float32."""
        with self.model.precision.autocast():
            logits = self.model.compare(image_features, self.model.prompt_learner()).logits
        return logits.float() * (self.logit_scale / self.model.logit_scale)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, height, width), normalised pixels -> logits (batch, n_cls), float32."""
        return self.logits(self.image_features(image))

    def train(self, mode: bool = True) -> "PromptedTeacher":
        """Stay in evaluation mode."""
        return super().train(False)
