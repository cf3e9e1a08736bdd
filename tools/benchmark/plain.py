"""The plain computation that papers describe, with CLIP's own towers as OpenAI wrote them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdpl.distillation.losses import symmetric_kl
from kdpl.distillation.objective import DistillationObjective


class PlainCoOp:
    """CoOp_KDPL without any of our shortcuts: all 77 positions of every prompt, every image through both towers."""

    def __init__(self, objective: DistillationObjective):
        self.student, (self.teacher,) = objective.model, objective.teacher.classifiers
        texts = [f"a photo of a {name}." for name in self.student.classnames]
        self.tokens = self.student.clip.tokenize(texts).to(self.student.device)

    def text_features(self) -> Tensor:
        """(n_cls, embed_dim)."""
        model, ctx, tokens = self.student.clip.model, self.student.prompt_learner.ctx, self.tokens
        embedded = model.token_embedding(tokens)  # (n_cls, 77, width)
        x = torch.cat([embedded[:, :1], ctx.expand(len(tokens), -1, -1), embedded[:, 1 + len(ctx) :]], dim=1)
        x = model.transformer((x + model.positional_embedding).permute(1, 0, 2)).permute(1, 0, 2)
        return model.ln_final(x)[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection

    def image_features(self, image: Tensor) -> Tensor:
        """(batch, embed_dim) of the student, normalised."""
        with torch.no_grad():
            return F.normalize(self.student.clip.model.encode_image(image), dim=-1)

    def loss(self, image: Tensor) -> Tensor:
        """The loss of a batch."""
        with torch.no_grad():
            teacher_features = F.normalize(self.teacher.clip.model.encode_image(image), dim=-1)
        text_features, scale = F.normalize(self.text_features(), dim=-1), self.student.logit_scale
        student_logits = scale * self.image_features(image) @ text_features.T
        return symmetric_kl(student_logits, scale * teacher_features @ self.teacher.text_features.T)

    @torch.no_grad()
    def logits(self, image: Tensor) -> Tensor:
        """(batch, n_cls), as an evaluation that encodes the texts for every batch computes them."""
        text_features = F.normalize(self.text_features(), dim=-1)
        return self.student.logit_scale * self.image_features(image) @ text_features.T
