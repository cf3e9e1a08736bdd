"""KgCoOp against an independent, plain implementation of its loss over all 77 tokens."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.distillation.objective import DistillationObjective, LabelObjective
from kdpl.distillation.teacher import Teacher
from kdpl.distillation.training import Training
from kdpl.methods import METHODS
from kdpl.prompts.prompted_clip import PromptedCLIP

from .tiny_clip import CLASSNAMES, images, loaded, tokenize

KGCOOP = METHODS["KgCoOp"]
LR, WEIGHT = 0.1, 8.0


def plain_text(model, tokens: Tensor, ctx: Tensor | None = None) -> Tensor:
    """Normalised text features (n_cls, embed_dim) by CLIP's own modules, with ctx in place of tokens 1 to 4."""
    x = model.token_embedding(tokens)
    if ctx is not None:
        x = torch.cat([x[:, :1], ctx.expand(len(x), -1, -1), x[:, 1 + len(ctx) :]], dim=1)
    x = model.transformer((x + model.positional_embedding).permute(1, 0, 2)).permute(1, 0, 2)
    x = model.ln_final(x)[torch.arange(len(x)), tokens.argmax(dim=-1)] @ model.text_projection
    return F.normalize(x, dim=-1)


class PlainKgCoOp:
    """Losses and SGD steps (momentum 0.9, weight decay 5e-4), written out."""

    def __init__(self, clip, names: list[str], template: str):
        self.model = clip.model
        names = [name.replace("_", " ") for name in names]
        self.tokens = tokenize([f"a photo of a {name}." for name in names])
        words = tokenize(["a photo of a"])[0, 1:5]
        self.ctx = self.model.token_embedding(words).detach().clone().requires_grad_()
        self.hand_written = plain_text(self.model, tokenize([template.format(name) for name in names]))
        self.momentum = torch.zeros_like(self.ctx)

    def step(self, image: Tensor, loss_of, chosen: Tensor | None = None) -> float:
        chosen = torch.arange(len(self.tokens)) if chosen is None else chosen
        text = plain_text(self.model, self.tokens[chosen], self.ctx)
        features = F.normalize(self.model.encode_image(image), dim=-1)
        logits = self.model.logit_scale.exp() * features @ text.T
        distance = 1 - (text * self.hand_written[chosen]).sum(dim=-1).mean()
        loss = loss_of(logits) + WEIGHT * distance
        (gradient,) = torch.autograd.grad(loss, self.ctx)
        self.momentum = 0.9 * self.momentum + gradient + 5e-4 * self.ctx.detach()
        self.ctx = (self.ctx - LR * self.momentum).detach().requires_grad_()
        return loss.item()


def training_of(objective) -> Training:
    optimizer = torch.optim.SGD(objective.model.prompt_learner.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)
    return Training(objective, None, optimizer, None, n_epochs=1)


def student_of(clip, names: list[str], template: str):
    """The model and its regulariser, as the trainers build them."""
    settings = KGCOOP.complete({})
    model = PromptedCLIP(clip, KGCOOP.build_learner(clip, settings), names, device="cpu")
    return model, KGCOOP.build_regulariser(model.clip, settings, names, template, precision=model.precision)


def assert_same_steps(training: Training, plain: PlainKgCoOp, batches: list[dict], plain_step) -> None:
    for batch in batches:
        assert training.step(batch)["loss"].item() == pytest.approx(plain_step(batch), rel=1e-4)
    torch.testing.assert_close(training.model.prompt_learner.ctx.detach(), plain.ctx.detach(), rtol=1e-4, atol=1e-5)


def test_from_labels_it_is_cross_entropy_and_the_distance_to_the_template():
    clip, template = loaded("vit", 1), "a centered satellite photo of {}."
    plain = PlainKgCoOp(clip, CLASSNAMES, template)
    model, regulariser = student_of(clip, CLASSNAMES, template)
    batches = [{"img": images(3, clip.model, k), "label": torch.tensor([k, 0, 4])} for k in range(3)]
    assert_same_steps(
        training_of(LabelObjective(model, regulariser)), plain, batches,
        lambda batch: plain.step(batch["img"], lambda logits: F.cross_entropy(logits, batch["label"])),
    )  # fmt: skip


@pytest.mark.parametrize("max_classes", [None, 3])
def test_from_a_teacher_it_is_the_symmetric_divergence_and_the_distance_of_the_classes_in_play(max_classes):
    clip, template = loaded("vit", 1), "a photo of a {}."
    plain = PlainKgCoOp(clip, CLASSNAMES, template)
    model, regulariser = student_of(clip, CLASSNAMES, template)
    teacher = Teacher([ZeroShotClassifier(loaded("vit", 3), CLASSNAMES, device="cpu", logit_scale=model.logit_scale)])

    def plain_step(batch: dict) -> float:
        logits = teacher(batch["img"])
        mean = logits.softmax(dim=-1).mean(dim=0)
        chosen = mean.topk(max_classes or len(CLASSNAMES)).indices.sort().values
        target = logits[:, chosen].softmax(dim=-1)

        def divergence(ours: Tensor) -> Tensor:
            p = ours.softmax(dim=-1)
            return 0.5 * ((target - p) * (target.log() - p.log())).sum(dim=-1).mean()

        return plain.step(batch["img"], divergence, chosen)

    batches = [{"img": images(3, clip.model, k)} for k in range(3)]
    training = training_of(DistillationObjective(model, teacher, max_classes, regulariser))
    assert_same_steps(training, plain, batches, plain_step)


def test_its_entry_has_the_published_settings():
    assert KGCOOP.complete({}) == {"n_ctx": 4, "ctx_init": "a photo of a", "weight": 8.0}
    assert (KGCOOP.node, KGCOOP.epochs, KGCOOP.batch_size, KGCOOP.lr) == ("KGCOOP", 100, 128, 0.002)


def test_it_keeps_its_own_template_for_textures():
    assert KGCOOP.template("DescribableTextures") == "a photo of a {}, a type of texture."
    assert METHODS["PromptSRC"].template("DescribableTextures") == "{} texture."
    assert KGCOOP.template("EuroSAT") == "a centered satellite photo of {}."
    assert KGCOOP.template("DescribableTextures", "{} up close.") == "{} up close."
    assert KGCOOP.template("", "a photo of a {}.") == "a photo of a {}."  # class-agnostic
