"""Additional loss terms that keep prompts close to the CLIP without prompts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..clip import text_features
from ..clip.loaded import LoadedCLIP
from ..clip.precision import Precision
from ..clip.templates import ENSEMBLE_OF_60
from ..clip.text_feature_table import TextFeatureTable
from ..clip.towers import normalise
from ..prompts.prompted_clip import StudentOutput
from .losses import self_consistency


class Regulariser:
    """Base of the regularisers.

    Attributes:
        reads_frozen_image: whether :meth:`terms` reads the image features of the CLIP without prompts.
    """

    reads_frozen_image: bool = False

    def __init__(
        self,
        clip: LoadedCLIP,
        classnames: Sequence[str],
        templates: Sequence[str],
        precision: Precision,
        of_subsets: bool = False,
    ):
        """
        Args:
            clip: the student, already on its device in its precision.
            templates: its hand-written prompts; features of several are averaged.
            of_subsets: whether each step covers a subset of the classes, so that some may never be needed.
        """
        self.logit_scale = clip.logit_scale
        if of_subsets and len(templates) > 1 and len(classnames) * len(templates) >= text_features.CACHED_FROM:
            self.frozen_text_features = TextFeatureTable(clip, classnames, templates, precision)
        else:
            self.frozen_text_features = normalise(
                text_features.mean_text_features(clip, classnames, templates, precision)
            )

    def terms(
        self, output: StudentOutput, class_indices: Tensor | None, frozen_image_features: Tensor | None
    ) -> dict[str, Tensor]:
        """Scalars to add to the loss, by name.

        Args:
            class_indices: the classes of this step, (k,); None for all.
            frozen_image_features: (batch, embed_dim), normalised; only if ``reads_frozen_image``.
        """
        raise NotImplementedError

    def frozen_text(self, class_indices: Tensor | None) -> Tensor:
        """Normalised text features of the hand-written prompts, (k, embed_dim)."""
        return self.frozen_text_features if class_indices is None else self.frozen_text_features[class_indices]


class SelfConsistency(Regulariser):
    """PromptSRC's three terms (Khattak et al., ICCV 2023, arXiv:2307.06948)."""

    reads_frozen_image = True

    def __init__(
        self, clip: LoadedCLIP, classnames: Sequence[str], template: str, *, text_weight: float, image_weight: float,
        **computation,
    ):  # fmt: skip
        super().__init__(clip, classnames, ENSEMBLE_OF_60, **computation)
        self.text_weight, self.image_weight = text_weight, image_weight

    def terms(
        self, output: StudentOutput, class_indices: Tensor | None, frozen_image_features: Tensor | None
    ) -> dict[str, Tensor]:
        frozen_text = self.frozen_text(class_indices)
        with torch.no_grad():
            frozen_logits = self.logit_scale * frozen_image_features @ frozen_text.T
        return self_consistency(
            output.image_features, frozen_image_features, output.text_features[0], frozen_text, output.logits,
            frozen_logits, image_weight=self.image_weight, text_weight=self.text_weight,
        )  # fmt: skip


class KnowledgeGuidance(Regulariser):
    """KgCoOp's distance between learned and hand-written text features (Yao et al., CVPR 2023, arXiv:2303.13283)."""

    def __init__(self, clip: LoadedCLIP, classnames: Sequence[str], template: str, *, weight: float, **computation):
        super().__init__(clip, classnames, [template], **computation)
        self.weight = weight

    def terms(
        self, output: StudentOutput, class_indices: Tensor | None, frozen_image_features: Tensor | None
    ) -> dict[str, Tensor]:
        cosines = (output.text_features[0].float() * self.frozen_text(class_indices)).sum(dim=-1)
        return {"loss_text": self.weight * (1.0 - cosines.mean())}
