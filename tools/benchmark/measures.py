"""The measurements of the benchmark: functions that take a setting and return table rows of plain values."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdpl.distillation.fast_steps import total_loss
from kdpl.distillation.objective import STUDENT, TEACHER, DistillationObjective
from kdpl.distillation.optimization import build_optimizer, with_fused_kernels
from kdpl.distillation.training import Training
from kdpl.measuring.memory import peak_bytes
from kdpl.measuring.pictures import picture_reader
from kdpl.measuring.random_clips import image_flops
from kdpl.measuring.timing import matrix_ceiling
from kdpl.methods import METHODS
from kdpl.prompts.prompted_clip import PromptedCLIP

from .plain import PlainCoOp
from .processes import start_up, sweep
from .scales import chosen_classes, numbers_of_classes
from .setting import Row, Setting, compared, comparison


def gradient(objective: DistillationObjective, loss: Tensor) -> Tensor:
    """Backpropagate a loss; the gradients of all prompts as one vector."""
    objective.model.prompt_learner.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in objective.model.prompt_learner.parameters()])


def against_plain(setting: Setting) -> list[Row]:
    """CoOp_KDPL against the plain implementation: text tower, whole steps by what is cached, and evaluation."""
    counts = (setting.classes,) if setting.quick else (setting.classes, 2 * setting.classes)
    return [row for n in counts for row in _against_plain(setting, n)]


def _against_plain(setting: Setting, n_classes: int) -> list[Row]:
    objective, full = setting.case(classes=n_classes)
    plain, model, image = PlainCoOp(objective), objective.model, full["img"]
    towers = objective.frozen_towers()
    plain_loss, our_loss = plain.loss(image), total_loss(objective.terms(full))
    loss_difference = abs(our_loss.item() - plain_loss.item())
    our_gradient, plain_gradient = gradient(objective, our_loss), gradient(objective, plain_loss)
    agreement = {
        "loss difference": loss_difference,
        "gradient difference": float((our_gradient - plain_gradient).norm() / plain_gradient.norm()),
    }

    def step(cached: tuple[str, ...]) -> Callable[[], None]:
        def run() -> None:
            features = {name: full[name] if name in cached else tower(image) for name, tower in towers.items()}
            total_loss(objective.terms({"img": image} | features)).backward()

        return run

    def evaluate() -> None:
        with torch.no_grad():
            model(image)

    def label(part: str) -> Row:
        return {"classes": n_classes, "measured": part}

    texts = [lambda: plain.text_features().mean().backward(), text_pass(model)]
    rows = [compared(label("text tower"), texts, setting)]
    steps = {"step, cache empty": (), "step, teacher cached": (TEACHER,), "step, both cached": (TEACHER, STUDENT)}
    plain_step, *our_steps = setting.seconds([lambda: plain.loss(image).backward(), *map(step, steps.values())])
    rows += [label(name) | comparison(plain_step, ours) for name, ours in zip(steps, our_steps, strict=True)]
    rows[1] |= agreement
    with model.fixed_prompts():
        rows.append(compared(label("evaluation of a batch"), [lambda: plain.logits(image), evaluate], setting))
    return rows


def text_pass(model: PromptedCLIP, image_features: Tensor | None = None) -> Callable[[], None]:
    """A function that runs the text tower forward and backward on the learned prompts.

    Args:
        image_features: (batch, embed_dim), for prompts that depend on the image.
    """
    learner = model.prompt_learner

    def run() -> None:
        prompts = learner() if image_features is None else learner.for_images(learner(), image_features)
        model.encode_text(prompts).mean().backward()

    return run


def parts_of_steps(setting: Setting) -> list[Row]:
    """Time spent in each part of a step, for every method."""
    rows, frozen = [], None
    for method in ("CoOp", "MaPLe") if setting.quick else METHODS:
        objective, batch = setting.case(method)
        towers, model = objective.frozen_towers(), objective.model
        frozen = frozen or _frozen_seconds(setting, objective, batch)  # the same for all methods
        optimizer = with_fused_kernels(build_optimizer(model.prompt_learner.parameters(), "sgd", 1e-4, 0.9, 0.0))
        whole = partial(Training(objective, None, optimizer, None, 1).step, batch)
        memory = peak_bytes(whole, setting.device)
        features = F.normalize(torch.randn_like(batch[TEACHER])[:, : model.clip.towers.text.embed_dim], dim=-1)
        text = text_pass(model, features) if model.prompt_learner.learns_text else lambda: None
        step, text_tower, update = setting.seconds([whole, text, optimizer.step])
        rows.append({
            "method": method, "reading images, s": frozen[0], "teacher's image tower, s": frozen[1],
            "student's frozen image tower, s": frozen[2] if STUDENT in towers else 0.0, "text tower, s": text_tower,
            "rest of the step, s": max(0.0, step - text_tower - update), "optimiser, s": update,
            "kernels per step": kernels(whole), "memory, GB": memory / 1e9,
        })  # fmt: skip
    return rows


def _frozen_seconds(setting: Setting, objective: DistillationObjective, batch: Row) -> list[float]:
    """Seconds per batch for reading images, and for the frozen image towers of teacher and student."""
    read, towers = picture_reader(objective.model.clip.preprocessing), objective.frozen_towers()
    frozen = (partial(towers[name], batch["img"]) for name in (TEACHER, STUDENT))
    return setting.seconds([lambda: [read() for _ in range(setting.batch)], *frozen])


def kernels(step: Callable[[], Any]) -> int:
    """Number of kernels that a step launches; on a CPU, of operators that call no other operators."""
    kinds = torch.profiler.ProfilerActivity
    activities = [kinds.CPU] + [kinds.CUDA] * torch.cuda.is_available()
    with torch.profiler.profile(activities=activities) as profile:
        step()
    on_card = sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())
    return on_card or sum(event.name.startswith("aten::") and not event.cpu_children for event in profile.events())


def share_of_ceiling(setting: Setting) -> list[Row]:
    """Throughput of the teacher's image tower relative to that of a large matrix product."""
    objective, batch = setting.case()
    ceiling = matrix_ceiling(setting.device, torch.float32, clock=setting.clock)
    (seconds,) = setting.seconds([lambda: objective.teacher.image_features(batch["img"])])
    reached = setting.batch * image_flops(setting.teacher) / seconds
    return [{
        "matrix products, TFLOP/s": ceiling / 1e12, "teacher, TFLOP/s": reached / 1e12,
        "share of peak, %": 100 * reached / ceiling,
    }]  # fmt: skip


MEASURES: dict[str, Callable[[Setting], list[Row]]] = {  # heading: function
    "CoOp_KDPL against the plain implementation": against_plain,
    "Breakdown of a step": parts_of_steps,
    "Class-agnostic training": chosen_classes,
    "Scaling with the number of classes": numbers_of_classes,
    "Share of peak throughput": share_of_ceiling,
    "A sweep over all methods": sweep,
    "Start-up": start_up,
}
