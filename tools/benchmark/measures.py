"""What the benchmark measures of training steps: functions of a setting that return rows of plain values."""

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
from .setting import Row, Setting, against, beside


def gradient(objective: DistillationObjective, loss: Tensor) -> Tensor:
    """All gradients of the prompts as one vector."""
    objective.model.prompt_learner.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in objective.model.prompt_learner.parameters()])


def against_plain(setting: Setting) -> list[Row]:
    """CoOp_KDPL beside the plain computation, in turn: text tower, whole step by what the cache holds, evaluation."""
    counts = (setting.classes,) if setting.quick else (setting.classes, 2 * setting.classes)
    return [row for n in counts for row in _against_plain(setting, n)]


def _against_plain(setting: Setting, n_classes: int) -> list[Row]:
    objective, full = setting.case(classes=n_classes)
    plain, model, image = PlainCoOp(objective), objective.model, full["img"]
    towers = objective.frozen_towers()
    expected, found = plain.loss(image), total_loss(objective.terms(full))
    loss_difference = abs(found.item() - expected.item())
    own, other = gradient(objective, found), gradient(objective, expected)
    agreement = {
        "difference of the loss": loss_difference,
        "difference of the gradient": float((own - other).norm() / other.norm()),
    }

    def step(known: tuple[str, ...]) -> Callable[[], None]:
        def run() -> None:
            features = {name: full[name] if name in known else tower(image) for name, tower in towers.items()}
            total_loss(objective.terms({"img": image} | features)).backward()

        return run

    def evaluate() -> None:
        with torch.no_grad():
            model(image)

    def what(part: str) -> Row:
        return {"classes": n_classes, "what": part}

    texts = [lambda: plain.text_features().mean().backward(), text_pass(model)]
    rows = [beside(what("text tower"), texts, setting)]
    cached = {"step, cache empty": (), "step, teacher cached": (TEACHER,), "step, both cached": (TEACHER, STUDENT)}
    theirs, *ours = setting.seconds([lambda: plain.loss(image).backward(), *map(step, cached.values())])
    rows += [what(name) | against(theirs, own) for name, own in zip(cached, ours, strict=True)]
    rows[1] |= agreement
    with model.fixed_prompts():
        rows.append(beside(what("evaluation of a batch"), [lambda: plain.logits(image), evaluate], setting))
    return rows


def text_pass(model: PromptedCLIP, image_features: Tensor | None = None) -> Callable[[], None]:
    """The texts of learned prompts, forward and backward; of prompts that images shift for these images."""
    learner = model.prompt_learner

    def run() -> None:
        prompts = learner() if image_features is None else learner.for_images(learner(), image_features)
        model.encode_text(prompts).mean().backward()

    return run


def parts_of_steps(setting: Setting) -> list[Row]:
    """Where the time of a step goes, for every method."""
    rows, frozen = [], None
    for method in ("CoOp", "MaPLe") if setting.quick else METHODS:
        objective, batch = setting.case(method)
        towers, model = objective.frozen_towers(), objective.model
        frozen = frozen or _seconds_of_frozen_parts(setting, objective, batch)  # the same for all methods
        optimizer = with_fused_kernels(build_optimizer(model.prompt_learner.parameters(), "sgd", 1e-4, 0.9, 0.0))
        whole = partial(Training(objective, None, optimizer, None, 1).step, batch)
        memory = peak_bytes(whole, setting.device)
        features = F.normalize(torch.randn_like(batch[TEACHER])[:, : model.clip.towers.text.embed_dim], dim=-1)
        text = text_pass(model, features) if model.prompt_learner.learns_text else lambda: None
        step, of_texts, update = setting.seconds([whole, text, optimizer.step])
        rows.append({
            "method": method, "pictures, s": frozen[0], "teacher's images, s": frozen[1],
            "frozen student's images, s": frozen[2] if STUDENT in towers else 0.0, "texts, s": of_texts,
            "all else with prompts, s": max(0.0, step - of_texts - update), "optimiser, s": update,
            "kernels per step": kernels(whole), "memory, GB": memory / 1e9,
        })  # fmt: skip
    return rows


def _seconds_of_frozen_parts(setting: Setting, objective: DistillationObjective, batch: Row) -> list[float]:
    """Of reading a batch of pictures, and of the teacher's and the student's image tower."""
    read, towers = picture_reader(objective.model.clip.preprocessing), objective.frozen_towers()
    frozen = (partial(towers[name], batch["img"]) for name in (TEACHER, STUDENT))
    return setting.seconds([lambda: [read() for _ in range(setting.batch)], *frozen])


def kernels(step: Callable[[], Any]) -> int:
    """How many kernels a step launches: on a CPU operators that call no others."""
    kinds = torch.profiler.ProfilerActivity
    activities = [kinds.CPU] + [kinds.CUDA] * torch.cuda.is_available()
    with torch.profiler.profile(activities=activities) as profile:
        step()
    on_card = sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())
    return on_card or sum(event.name.startswith("aten::") and not event.cpu_children for event in profile.events())


def share_of_ceiling(setting: Setting) -> list[Row]:
    """How much of what matrix products reach the teacher's image tower does."""
    objective, batch = setting.case()
    ceiling = matrix_ceiling(setting.device, torch.float32, clock=setting.clock)
    (seconds,) = setting.seconds([lambda: objective.teacher.image_features(batch["img"])])
    reached = setting.batch * image_flops(setting.teacher) / seconds
    return [{
        "matrix products, TFLOP/s": ceiling / 1e12, "teacher, TFLOP/s": reached / 1e12,
        "share of it, %": 100 * reached / ceiling,
    }]  # fmt: skip


MEASURES: dict[str, Callable[[Setting], list[Row]]] = {  # heading: function
    "CoOp_KDPL beside the plain computation": against_plain,
    "Parts of a step": parts_of_steps,
    "Class-agnostic training": chosen_classes,
    "Numbers of classes": numbers_of_classes,
    "Share of the ceiling": share_of_ceiling,
    "A sweep over all methods": sweep,
    "Start-up": start_up,
}
