"""A plain implementation of CoOp_KDPL as papers describe it, on OpenAI's own towers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdpl.distillation.losses import symmetric_kl
from kdpl.distillation.objective import DistillationObjective


class PlainCoOp:
    """CoOp_KDPL without optimisations: all 77 positions of every prompt, every image through both image towers."""

    def __init__(self, objective: DistillationObjective):
        self.student, (self.teacher,) = objective.model, objective.teacher.classifiers
        texts = [f"a photo of a {name}." for name in self.student.classnames]
        self.tokens = self.student.clip.tokenize(texts).to(self.student.device)

    def text_features(self) -> Tensor:
        """(n_cls, embed_dim), not normalised."""
        model, ctx, tokens = self.student.clip.model, self.student.prompt_learner.ctx, self.tokens
        embedded = model.token_embedding(tokens)  # (n_cls, 77, width)
        x = torch.cat([embedded[:, :1], ctx.expand(len(tokens), -1, -1), embedded[:, 1 + len(ctx) :]], dim=1)
        x = model.transformer((x + model.positional_embedding).permute(1, 0, 2)).permute(1, 0, 2)
        return model.ln_final(x)[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection

    def image_features(self, image: Tensor) -> Tensor:
        """Normalised student features, (batch, embed_dim)."""
        with torch.no_grad():
            return F.normalize(self.student.clip.model.encode_image(image), dim=-1)

    def loss(self, image: Tensor) -> Tensor:
        """The KDPL loss of a batch, a scalar."""
        with torch.no_grad():
            teacher_features = F.normalize(self.teacher.clip.model.encode_image(image), dim=-1)
        text_features, scale = F.normalize(self.text_features(), dim=-1), self.student.logit_scale
        student_logits = scale * self.image_features(image) @ text_features.T
        return symmetric_kl(student_logits, scale * teacher_features @ self.teacher.text_features.T)

    @torch.no_grad()
    def logits(self, image: Tensor) -> Tensor:
        """Student logits (batch, n_cls) of an evaluation that encodes the texts again for every batch."""
        text_features = F.normalize(self.text_features(), dim=-1)
        return self.student.logit_scale * self.image_features(image) @ text_features.T
