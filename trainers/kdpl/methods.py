"""The five base methods: which prompt learner each one builds from the configuration, and what else it does.

A trainer is one of these before :class:`PromptTrainer` (labels) or :class:`KDPLTrainer` (teacher).
"""

from typing import Any

import torch
from torch import Tensor

from .encoders import normalise
from .gaussian_averaging import GaussianAverage
from .losses import self_consistency
from .prompt_learners import (
    CoCoOpPromptLearner,
    CoOpPromptLearner,
    MaPLePromptLearner,
    PromptLearner,
    PromptSRCPromptLearner,
    VPTPromptLearner,
)
from .student import StudentOutput
from .templates import ENSEMBLE_OF_60
from .text_features import mean_text_features


class CoOpMethod:
    """Context vectors on the text side, shared or of each class."""

    method, node = "CoOp", "COOP"

    def build_prompt_learner(self) -> PromptLearner:
        node = self.cfg.TRAINER.COOP
        return CoOpPromptLearner(
            self.student.model,
            self.student.tokenize,
            n_ctx=node.N_CTX,
            ctx_init=node.CTX_INIT,
            n_cls=self.num_classes if node.CSC else None,
            class_token_position=node.CLASS_TOKEN_POSITION,
        )


class CoCoOpMethod:
    """A context that each image shifts."""

    method, node = "CoCoOp", "COCOOP"

    def build_prompt_learner(self) -> PromptLearner:
        node = self.cfg.TRAINER.COCOOP
        return CoCoOpPromptLearner(self.student.model, self.student.tokenize, n_ctx=node.N_CTX, ctx_init=node.CTX_INIT)


class VPTMethod:
    """Deep visual prompts; fixed text."""

    method, node, visual_prompts = "VPT", "VPT", True

    def build_prompt_learner(self) -> PromptLearner:
        node = self.cfg.TRAINER.VPT
        return VPTPromptLearner(
            self.student.model, n_vis=node.N_CTX_VISION, depth=node.PROMPT_DEPTH_VISION, words=node.CTX_INIT
        )


class MaPLeMethod:
    """Coupled prompts in both towers."""

    method, node, visual_prompts = "MaPLe", "MAPLE", True
    registered_name = "MultiModalPromptLearner"

    def build_prompt_learner(self) -> PromptLearner:
        node = self.cfg.TRAINER.MAPLE
        return MaPLePromptLearner(
            self.student.model, self.student.tokenize, n_ctx=node.N_CTX, ctx_init=node.CTX_INIT, depth=node.PROMPT_DEPTH
        )


class PromptSRCMethod:
    """Independent prompts in both towers, held near the unprompted CLIP, averaged over epochs."""

    method, node, visual_prompts = "PromptSRC", "PROMPTSRC", True
    registered_name = "VLPromptLearner"

    def build_prompt_learner(self) -> PromptLearner:
        node = self.cfg.TRAINER.PROMPTSRC
        return PromptSRCPromptLearner(
            self.student.model,
            self.student.tokenize,
            n_ctx=node.N_CTX_TEXT,
            n_vis=node.N_CTX_VISION,
            ctx_init=node.CTX_INIT,
            depth_text=node.PROMPT_DEPTH_TEXT,
            depth_vision=node.PROMPT_DEPTH_VISION,
        )

    def before_train(self) -> None:
        node = self.cfg.TRAINER.PROMPTSRC
        self.average = GaussianAverage(node.GPA_MEAN, node.GPA_STD, self.max_epoch)  # taken up by a resumed run
        super().before_train()
        with self.record.phase("prepare"):
            self.frozen_text_features = normalise(
                mean_text_features(self.student, self.model.classnames, ENSEMBLE_OF_60, self.precision)
            )  # (n_cls, embed_dim)

    def regularisers(self, image: Tensor, output: StudentOutput, class_indices: Tensor | None) -> dict[str, Tensor]:
        node = self.cfg.TRAINER.PROMPTSRC
        frozen_text = self.frozen_text_features if class_indices is None else self.frozen_text_features[class_indices]
        with torch.no_grad():
            frozen_image = normalise(self.model.image_encoder(image))
            frozen_logits = self.model.logit_scale * frozen_image @ frozen_text.T
        return self_consistency(
            output.image_features, frozen_image, output.text_features[0], frozen_text, output.logits, frozen_logits,
            image_weight=node.IMAGE_LOSS_WEIGHT, text_weight=node.TEXT_LOSS_WEIGHT,
        )  # fmt: skip

    def after_epoch(self) -> None:
        self.average.add(self.model.prompt_learner, self.epoch)
        if self.epoch + 1 == self.max_epoch:
            self.average.apply(self.model.prompt_learner)
        super().after_epoch()

    def method_state(self) -> dict[str, Any]:
        return {"average": self.average.total}

    def load_method_state(self, state: dict[str, Any]) -> None:
        self.average.total = {name: tensor.to(self.device) for name, tensor in state["average"].items()}
