"""Time a training step of CoOp_KDPL against the plain computation, in the same process and on the same numbers.

    python -m tools.benchmark [--student ViT-B/32] [--teacher ViT-L/14] [--classes 50] [--batch 4] [--steps 3]

The plain step is the one that papers describe: every prompt goes through CLIP's own text tower over all 77 positions.
Weights are random, since time does not depend on them; both steps must give the same loss and the same gradient.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor

from kdpl.clip.loaded import LoadedCLIP
from kdpl.clip.openai import openai_clip
from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.distillation.losses import symmetric_kl
from kdpl.guard import run_command
from kdpl.import_guards import import_clip
from kdpl.prompts import CoOpPromptLearner
from kdpl.prompts.prompted_clip import PromptedCLIP

import_clip()
from clip.model import CLIP  # noqa: E402

# The arguments of clip.model.CLIP: embed_dim, of the images, of the texts.
ARCHITECTURES = {
    "ViT-B/32": (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12),
    "ViT-B/16": (512, 224, 12, 768, 16, 77, 49408, 512, 8, 12),
    "ViT-L/14": (768, 224, 24, 1024, 14, 77, 49408, 768, 12, 12),
}


def random_clip(name: str) -> LoadedCLIP:
    """A CLIP of full size with random weights."""
    return openai_clip(CLIP(*ARCHITECTURES[name]).eval(), name, weights_sha256=f"random {name}")


def plain_text(student: PromptedCLIP, tokens: Tensor) -> Tensor:
    """Text features (n_cls, embed_dim), computed with the tower as OpenAI wrote it."""
    model, ctx = student.clip.model, student.prompt_learner.ctx
    embedded = model.token_embedding(tokens)  # (n_cls, 77, width)
    x = torch.cat([embedded[:, :1], ctx.expand(len(tokens), -1, -1), embedded[:, 1 + len(ctx) :]], dim=1)
    x = model.transformer((x + model.positional_embedding).permute(1, 0, 2)).permute(1, 0, 2)
    return model.ln_final(x)[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection


def plain_step(student: PromptedCLIP, teacher_text: Tensor, teacher: CLIP, image: Tensor, tokens: Tensor) -> Tensor:
    """The loss, computed with the towers as OpenAI wrote them."""
    with torch.no_grad():
        image_features = F.normalize(student.clip.model.encode_image(image), dim=-1)
        teacher_features = F.normalize(teacher.encode_image(image), dim=-1)
    text_features = F.normalize(plain_text(student, tokens), dim=-1)
    scale = student.logit_scale
    return symmetric_kl(scale * image_features @ text_features.T, scale * teacher_features @ teacher_text.T)


def timed(step: Callable[[], Tensor], ctx: Tensor, n: int, device: torch.device) -> tuple[float, Tensor, Tensor]:
    """Median seconds of ``n`` steps, forward and backward, after one to warm up, with loss and gradient."""
    seconds = []
    for _ in range(n + 1):
        ctx.grad = None
        start = time.perf_counter()
        loss = step()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[n // 2], loss.detach(), ctx.grad.clone()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", default="ViT-B/32", choices=ARCHITECTURES)
    parser.add_argument("--teacher", default="ViT-L/14", choices=ARCHITECTURES)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--batch", type=int, default=4, help="images")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each kind")
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classnames = [f"class number {i}" for i in range(args.classes)]
    loaded = random_clip(args.student)
    learner = CoOpPromptLearner(loaded)
    student = PromptedCLIP(loaded, learner, classnames, device=device)
    teacher = ZeroShotClassifier(random_clip(args.teacher), classnames, device=device, logit_scale=student.logit_scale)
    image = torch.randn(args.batch, 3, 224, 224, device=device)
    tokens = loaded.tokenize([f"a photo of a {name}." for name in classnames]).to(device)

    pairs = {
        "text tower": (lambda: plain_text(student, tokens).mean(), lambda: student.encode_text(learner()).mean()),
        "whole step": (
            lambda: plain_step(student, teacher.text_features, teacher.clip.model, image, tokens),
            lambda: symmetric_kl(student(image), teacher(image)),
        ),
    }
    rows = []
    for name, steps in pairs.items():
        (slow, plain_loss, plain_gradient), (fast, our_loss, our_gradient) = (
            timed(step, learner.ctx, args.steps, device) for step in steps
        )
        difference = float((our_gradient - plain_gradient).norm() / plain_gradient.norm())
        rows.append((name, slow, fast, slow / fast, f"{abs(float(our_loss - plain_loss)):.0e}", f"{difference:.0e}"))
    print(f"Student {args.student}, teacher {args.teacher}, {args.classes} classes, {args.batch} images, {device}")
    headers = ["", "plain, s", "this repository, s", "times as fast", "difference", "of gradients"]
    print(tabulate(rows, headers=headers, floatfmt=("", ".3f", ".3f", ".2f")))


if __name__ == "__main__":
    run_command(main)
