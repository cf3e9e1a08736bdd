"""The student: a frozen CLIP and a prompt learner."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .encoders import ImageEncoder, TextEncoder, normalise
from .prompt_learners import PromptLearner, Prompts

RESOLUTIONS = {  # pixels, of OpenAI's CLIPs
    "RN50": 224, "RN101": 224, "RN50x4": 288, "RN50x16": 384, "RN50x64": 448,
    "ViT-B/32": 224, "ViT-B/16": 224, "ViT-L/14": 224, "ViT-L/14@336px": 336,
}  # fmt: skip


class StudentOutput(NamedTuple):
    logits: Tensor  # (batch, n_cls), multiplied by the logit scale
    image_features: Tensor  # (batch, embed_dim), normalised
    text_features: Tensor  # (groups, n_cls, embed_dim), normalised; one group, or one an image


class PromptedCLIP(nn.Module):
    """An OpenAI CLIP whose towers take the prompts of a prompt learner; nothing but these is trained."""

    def __init__(
        self,
        clip: nn.Module,
        prompt_learner: PromptLearner,
        classnames: Sequence[str],
        tokenize: Callable[[list[str]], Tensor],
        max_tokens: int | None = None,
    ):
        """
        Args:
            clip: OpenAI CLIP; frozen here.
            classnames: the classes to tell apart; :meth:`set_classnames` changes them.
            tokenize: texts -> (n, context_length) token ids.
            max_tokens: see :class:`TextEncoder`.
        """
        super().__init__()
        self.clip = clip.requires_grad_(False)
        self.prompt_learner = prompt_learner
        self.image_encoder = ImageEncoder(clip)
        self.text_encoder = TextEncoder(clip, max_tokens)
        self.tokenize = tokenize
        self._text_features = None
        self.set_classnames(classnames)
        self.train(self.training)

    def set_classnames(self, classnames: Sequence[str]) -> None:
        """Tell these classes apart from now on.

        Raises:
            ValueError: if contexts are class-specific and the number of classes differs from theirs.
        """
        learner = self.prompt_learner
        if learner.class_specific and len(learner.ctx) != len(classnames):
            raise ValueError(
                f"The prompts are specific to {len(learner.ctx)} classes (CSC) and cannot name "
                f"{len(classnames)} others. Learn a shared context (CSC False) to use it on other classes."
            )
        self.classnames = list(classnames)
        self.class_tokens = learner.class_tokens(classnames, self.tokenize).to(self.clip.logit_scale.device)
        self._text_features = None

    @property
    def logit_scale(self) -> Tensor:
        """The factor of the cosines: the exponential of what CLIP stores."""
        return self.clip.logit_scale.float().exp()

    def forward(self, image: Tensor, class_indices: Tensor | None = None) -> Tensor:
        """(batch, 3, resolution, resolution) -> logits (batch, n_cls), or (batch, k) of a subset ``class_indices``."""
        return self.encode(image, class_indices).logits

    def encode(self, image: Tensor, class_indices: Tensor | None = None) -> StudentOutput:
        """Logits and the features that they come from."""
        prompts = self.prompt_learner()
        image_features = normalise(self.image_encoder(image, prompts.visual, prompts.deep_visual))
        text_features = self._known_text_features(class_indices)
        if text_features is None:
            text_features = normalise(
                self.encode_text(self.prompt_learner.for_images(prompts, image_features), class_indices)
            )
        if self.prompt_learner.depends_on_image:
            cosines = torch.einsum("bd,bcd->bc", image_features, text_features)
        else:
            cosines = image_features @ text_features[0].T
        return StudentOutput(self.logit_scale * cosines, image_features, text_features)

    def encode_text(self, prompts: Prompts, class_indices: Tensor | None = None) -> Tensor:
        """Text features (groups, k, embed_dim) of these prompts, not normalised."""
        assembled = self.class_tokens.assemble(
            prompts.ctx, self.text_encoder.embed, class_indices, self.prompt_learner.class_specific
        )
        return self.text_encoder(*assembled, prompts.deep_text, self.class_tokens.lengths)

    def _known_text_features(self, class_indices: Tensor | None) -> Tensor | None:
        """The features that need not be computed for this batch, if there are such."""
        if self._text_features is None and not self.prompt_learner.learns_text:
            self._text_features = self._compute_text_features()
        if self._text_features is None or class_indices is None:
            return self._text_features
        return self._text_features[:, class_indices]

    @torch.no_grad()
    def _compute_text_features(self) -> Tensor:
        return normalise(self.encode_text(self.prompt_learner()))

    @contextmanager
    def classes(self, classnames: Sequence[str]) -> Iterator[None]:
        """Within the block other classes are told apart."""
        before, tokens_before = self.classnames, self.class_tokens
        if list(classnames) != before:
            self.set_classnames(classnames)
        try:
            yield
        finally:
            self.classnames, self.class_tokens = before, tokens_before
            self._text_features = None

    @contextmanager
    def fixed_prompts(self) -> Iterator[None]:
        """Within the block the prompts do not change: text features are computed once, unless images shift them."""
        if not self.prompt_learner.depends_on_image:
            self._text_features = self._compute_text_features()
        try:
            yield
        finally:
            self._text_features = None

    def train(self, mode: bool = True) -> "PromptedCLIP":
        """As for any module, but the frozen CLIP (with a ResNet's BatchNorm) always stays in evaluation mode."""
        super().train(mode)
        self.clip.eval()
        return self


def check_student(name: str, method: str, visual_prompts: bool) -> None:
    """Refuse a student that cannot take the method's prompts, by its name alone.

    Raises:
        ValueError: if the student is not an OpenAI CLIP, or a ResNet where visual prompts are needed.
    """
    if name.startswith("open_clip:"):
        raise ValueError(
            f"MODEL.BACKBONE.NAME is {name!r}; prompts are learned for OpenAI's CLIPs, such as ViT-B/32. "
            "Models of open_clip can be teachers (TRAINER.KDPL.TEACHER)."
        )
    if visual_prompts and name.startswith("RN"):
        raise ValueError(
            f"{method} puts prompts into a ViT, and MODEL.BACKBONE.NAME is {name!r}, a ResNet. "
            "Choose ViT-B/32, ViT-B/16 or ViT-L/14, or train CoOp or CoCoOp on the ResNet."
        )


def check_image_size(name: str, size: Sequence[int], resolution: int | None = None) -> None:
    """Refuse images of another size than the student takes; known names are checked before anything is loaded.

    Args:
        size: INPUT.SIZE, (height, width) in pixels.
        resolution: of the loaded student, in pixels.

    Raises:
        ValueError: if they differ.
    """
    resolution = resolution or RESOLUTIONS.get(name)
    if resolution and tuple(size) != (resolution, resolution):
        raise ValueError(
            f"INPUT.SIZE is {tuple(size)}, and {name} takes images of {resolution} x {resolution} pixels. "
            f'Set INPUT.SIZE "({resolution},{resolution})", or choose another MODEL.BACKBONE.NAME.'
        )
