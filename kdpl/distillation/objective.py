"""The training objectives: loss terms of a batch, from labels or from a teacher."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..clip.image_encoder import FrozenTower
from ..prompts.prompted_clip import PromptedCLIP, StudentOutput
from .class_selection import keeps_all, most_likely_classes
from .look_ahead import HostCounts
from .losses import symmetric_kl
from .regularisers import Regulariser
from .teacher import Teacher

STUDENT, TEACHER = "student", "teacher"  # keys of frozen features in a batch
CHOSEN = "chosen"  # key of the classes selected ahead of the step


class Objective:
    """Base of the two objectives.

    A batch contains the features of its images under the names of :meth:`frozen_towers`, see :class:`FeatureSource`,
    and ``img`` (batch, 3, size, size), which is read only if ``reads_images``.
    """

    def __init__(self, model: PromptedCLIP, regulariser: Regulariser | None = None):
        self.model = model
        self.regulariser = regulariser

    @property
    def reads_images(self) -> bool:
        """Whether training steps read the images and not only their frozen features."""
        return self.model.prompt_learner.learns_visual

    def frozen_towers(self) -> dict[str, FrozenTower]:
        """The towers whose features each batch must contain: images -> (batch, width), normalised."""
        frozen_image = self.regulariser is not None and self.regulariser.reads_frozen_image
        if frozen_image or not self.model.prompt_learner.learns_visual:
            return {STUDENT: self.model.frozen_tower}
        return {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The entries of a batch that :meth:`terms` reads."""
        return (*self.frozen_towers(), *["img"] * self.reads_images)

    @property
    def chooses_classes(self) -> bool:
        """Whether each batch uses a different subset of the classes."""
        return False

    def look_ahead(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch, with results of :meth:`terms` that do not depend on the prompts computed in advance."""
        return batch

    def terms(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms, whose names start with "loss", and other scalars to report."""
        raise NotImplementedError

    def regularise(
        self, output: StudentOutput, class_indices: Tensor | None, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The additional terms of the method."""
        if self.regulariser is None:
            return {}
        return self.regulariser.terms(output, class_indices, batch.get(STUDENT))


class LabelObjective(Objective):
    """Cross-entropy with labels, as in the base methods; a batch also contains ``label`` (batch,)."""

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*super().inputs, "label")

    def terms(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with self.model.precision.autocast():
            output = self.model.encode(batch.get("img"), frozen_features=batch.get(STUDENT))
            terms = {"loss_labels": F.cross_entropy(output.logits, batch["label"])}
            terms |= self.regularise(output, None, batch)
        accuracy = 100.0 * (output.logits.argmax(dim=-1) == batch["label"]).float().mean()  # percent
        return terms | {"acc": accuracy}


class DistillationObjective(Objective):
    """The symmetric KL divergence from the teacher (Mistretta et al., ECCV 2024, arXiv:2407.03056)."""

    def __init__(
        self,
        model: PromptedCLIP,
        teacher: Teacher,
        max_classes: int | None = None,
        regulariser: Regulariser | None = None,
    ):
        """
        Args:
            max_classes: for class-agnostic training (KDPL-CA): number of classes kept in each batch, K_MAX in the
                paper; None keeps all.
        """
        super().__init__(model, regulariser)
        self.teacher = teacher
        self.max_classes = max_classes

    def frozen_towers(self) -> dict[str, FrozenTower]:
        return super().frozen_towers() | {TEACHER: self.teacher.frozen_tower}

    @property
    def chooses_classes(self) -> bool:
        return not keeps_all(self.max_classes, len(self.model.classnames))

    def look_ahead(self, batch: dict[str, Any]) -> dict[str, Any]:
        if not self.chooses_classes:
            return batch
        logits, class_indices, class_counts = self.choose_classes(batch)
        return batch | {CHOSEN: (logits, class_indices, HostCounts(class_counts))}

    def choose_classes(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor | None, Tensor | HostCounts | None]:
        """The teacher's logits (batch, k) and, for a subset, class indices (k,) and counts by length.

        None of these depend on the prompts, so they can be computed before the step.
        """
        if CHOSEN in batch:
            return batch[CHOSEN]
        logits = self.teacher.logits(batch[TEACHER])  # (batch, n_cls); labels are never read
        if not self.chooses_classes:
            return logits, None, None
        class_indices = most_likely_classes(logits, self.max_classes)
        return logits[:, class_indices], class_indices, self.model.class_tokens.count_by_bucket(class_indices)

    def terms(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        teacher_logits, class_indices, class_counts = self.choose_classes(batch)
        with self.model.precision.autocast():
            output = self.model.encode(batch.get("img"), class_indices, batch.get(STUDENT), class_counts)
            terms = {"loss_teacher": symmetric_kl(output.logits, teacher_logits)}
            return terms | self.regularise(output, class_indices, batch)
