"""The student: a frozen CLIP with a prompt learner."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..clip.device import resolve_device
from ..clip.image_encoder import FrozenTower, ImageEncoder
from ..clip.loaded import LoadedCLIP
from ..clip.precision import Precision, resolve_precision
from ..clip.text_encoder import TextEncoder
from ..clip.towers import normalise
from ..names import weights_identity
from .initial import text_tower
from .prompt_learner import PromptLearner, Prompts


class StudentOutput(NamedTuple):
    logits: Tensor  # (batch, n_cls), multiplied by the logit scale
    image_features: Tensor  # (batch, embed_dim), normalised
    text_features: Tensor  # (groups, n_cls, embed_dim), normalised; one group, or one per image


class PromptedCLIP(nn.Module):
    """A frozen CLIP whose towers take the prompts of a prompt learner; only the prompts are trained.

    >>> import kdpl
    >>> clip = kdpl.load_clip("demo:student")
    >>> model = kdpl.PromptedCLIP(clip, kdpl.CoOpPromptLearner(clip), ["red circle", "blue square"], device="cpu")
    >>> model(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 2])
    >>> [name for name, _ in model.named_parameters()]
    ['prompt_learner.ctx']
    """

    def __init__(
        self,
        clip: LoadedCLIP,
        prompt_learner: PromptLearner,
        classnames: Sequence[str],
        *,
        device: str | torch.device = "auto",
        precision: str | Precision = "fp32",
        max_tokens: int | None = None,
    ):
        """
        Args:
            clip: copied to the device and precision if necessary, never modified.
            prompt_learner: moved to the device; its tensors stay in float32.
            classnames: the classes; :meth:`set_classnames` changes them.
            max_tokens: see :class:`TextEncoder`.

        Raises:
            ValueError: if the device or precision does not exist, or the CLIP takes no text prompts.
        """
        super().__init__()
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.clip = clip.on(self.device, self.precision)
        self.prompt_learner = prompt_learner.to(self.device)
        self.image_encoder = ImageEncoder(self.clip.towers)
        self.text_encoder = TextEncoder(text_tower(self.clip), max_tokens)
        self.logit_scale = clip.logit_scale
        self._text_features = None
        self.set_classnames(classnames)

    def set_classnames(self, classnames: Sequence[str]) -> None:
        """Change the classes.

        Raises:
            ValueError: if contexts are class-specific and the number of classes differs.
        """
        learner = self.prompt_learner
        if learner.class_specific and len(learner.ctx) != len(classnames):
            raise ValueError(
                f"The prompts are specific to {len(learner.ctx)} classes (CSC), so they cannot be used for "
                f"{len(classnames)} classes. Learn a shared context (CSC False) to use it for other classes."
            )
        self.classnames = list(classnames)
        self.class_tokens = learner.class_tokens(classnames, self.clip.towers.text).to(self.device)
        self._text_features = None

    def forward(self, image: Tensor, class_indices: Tensor | None = None) -> Tensor:
        """(batch, 3, size, size) -> logits (batch, n_cls), or (batch, k) for a subset ``class_indices``."""
        return self.encode(image, class_indices).logits

    def encode(
        self,
        image: Tensor | None,
        class_indices: Tensor | None = None,
        frozen_features: Tensor | None = None,
        class_counts: Tensor | None = None,
    ) -> StudentOutput:
        """Logits, with the image and text features.

        Args:
            class_counts: counts for ``class_indices`` from :meth:`ClassTokens.count_by_bucket`, if known.
            frozen_features: :meth:`frozen_image_features` of the images, if known. Methods without visual prompts use
                them instead of reading ``image``.
        """
        prompts = self.prompt_learner()
        if frozen_features is None or self.prompt_learner.learns_visual:
            image_features = self.image_features(image, prompts)
        else:
            image_features = frozen_features
        return self.compare(image_features, prompts, class_indices, class_counts)

    def compare(
        self,
        image_features: Tensor,
        prompts: Prompts,
        class_indices: Tensor | None = None,
        class_counts: Tensor | None = None,
    ) -> StudentOutput:
        """The second half of :meth:`encode`: compare prompted image features (batch, embed_dim) with the texts."""
        text_features = self.known_text_features(class_indices)
        if text_features is None:
            text_features = normalise(
                self.encode_text(self.prompt_learner.for_images(prompts, image_features), class_indices, class_counts)
            )
        if self.prompt_learner.depends_on_image:
            cosines = torch.einsum("bd,bcd->bc", image_features, text_features)
        else:
            cosines = image_features @ text_features[0].T
        return StudentOutput(self.logit_scale * cosines, image_features, text_features)

    def image_features(self, image: Tensor, prompts: Prompts | None = None) -> Tensor:
        """Prompted features: (batch, 3, size, size) -> (batch, embed_dim), normalised."""
        prompts = prompts or self.prompt_learner()
        return normalise(self.image_encoder(image, prompts.visual, prompts.deep_visual))

    @property
    def frozen_tower(self) -> FrozenTower:
        """The image tower without prompts."""
        weights = weights_identity(self.clip.name, self.clip.weights_sha256)
        identity = {"weights": weights, "precision": self.precision.name, "pixels": None}
        return FrozenTower([identity], self.frozen_image_features, self.clip.preprocessing.size)

    @property
    def evaluation_tower(self) -> FrozenTower | None:
        """The image tower, or None if prompts enter it."""
        return None if self.prompt_learner.learns_visual else self.frozen_tower

    def logits(self, frozen_features: Tensor) -> Tensor:
        """Features from the image tower without prompts (batch, embed_dim) -> logits (batch, n_cls)."""
        return self.encode(None, frozen_features=frozen_features).logits

    @torch.no_grad()
    def frozen_image_features(self, image: Tensor) -> Tensor:
        """Features without prompts: (batch, 3, size, size) -> (batch, embed_dim), normalised."""
        with self.precision.autocast():
            return normalise(self.image_encoder(image))

    def encode_text(
        self, prompts: Prompts, class_indices: Tensor | None = None, class_counts: Tensor | None = None
    ) -> Tensor:
        """Text features of these prompts, (groups, k, embed_dim), not normalised."""
        words, by_length = self.class_tokens, self.class_tokens.by_length
        if class_indices is not None:
            class_counts = words.count_by_bucket(class_indices) if class_counts is None else class_counts
            by_length = words.subset_by_length(class_counts)
        assembled = words.assemble(
            prompts.ctx, self.text_encoder.embed, class_indices, self.prompt_learner.class_specific
        )
        return self.text_encoder(*assembled, prompts.deep_text, by_length)

    def known_text_features(self, class_indices: Tensor | None) -> Tensor | None:
        """Text features that are already known, if any."""
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
        """Use other classes within the block."""
        before, tokens_before = self.classnames, self.class_tokens
        if list(classnames) != before:
            self.set_classnames(classnames)
        try:
            yield
        finally:
            self.classnames, self.class_tokens = before, tokens_before
            self._text_features = None

    @contextmanager
    def fixed_prompts(self, text_features: Tensor | None = None) -> Iterator[Tensor | None]:
        """Compute text features only once within the block, in which prompts must not change.

        Args:
            text_features: from an earlier block with the same prompts and classes, to avoid recomputing them.

        Yields:
            (1, n_cls, embed_dim), normalised; None for prompts that depend on the image.
        """
        if not self.prompt_learner.depends_on_image:
            self._text_features = self._compute_text_features() if text_features is None else text_features
        try:
            yield self._text_features
        finally:
            self._text_features = None
