"""Comparing compiled and graphed steps with plain ones: correctness and speed."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..clip.precision import Precision
from ..clip.zero_shot import ZeroShotClassifier
from ..distillation.fast_steps import STEPS
from ..distillation.objective import DistillationObjective
from ..distillation.optimization import build_optimizer, with_fused_kernels
from ..distillation.teacher import Teacher
from ..distillation.training import Training
from ..methods import find_method
from ..prompts.prompted_clip import PromptedCLIP
from .random_clips import kept_clip
from .timing import interleaved_seconds

SAME_STEPS = 3  # number of steps after which prompts are compared
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 5e-2}  # relative to the change of the prompts
LR = 0.01


@dataclass(frozen=True)
class StepMeasure:
    """Speed and correctness of one kind of step.

    Attributes:
        seconds: median time of a step with given frozen features; None if it failed.
        difference: difference from the prompts learned in as many plain steps, relative to the change of those prompts.
        failure: error message, if it failed.
    """

    kind: str
    seconds: float | None = None
    difference: float | None = None
    failure: str = ""

    def is_right(self, precision: Precision) -> bool:
        """Whether it gives the same prompts as plain steps, up to rounding."""
        tolerance = TOLERANCE[precision.autocast_dtype or torch.float32]
        return not self.failure and self.difference is not None and self.difference <= tolerance


def step_case(
    method: str, student: str, teacher: str, n_classes: int, batch_size: int, device: torch.device, precision: Precision
) -> tuple[DistillationObjective, dict[str, Any]]:
    """An objective with random CLIPs, and a batch with its frozen features.

    Args:
        student, teacher: architectures, see :func:`random_clip`.
    """
    entry, clip = find_method(method), kept_clip(student)
    names = [f"class number {i}" for i in range(n_classes)]
    learner = entry.build_learner(clip, entry.complete({}), n_classes, 1)
    model = PromptedCLIP(clip, learner, names, device=device, precision=precision)
    classifier = ZeroShotClassifier(
        kept_clip(teacher, seed=1), names, device=device, precision=precision, logit_scale=model.logit_scale
    )
    regulariser = entry.build_regulariser(
        model.clip, entry.complete({}), names, "a photo of a {}.", precision=precision
    )
    objective = DistillationObjective(model, Teacher([classifier]), None, regulariser)
    size = clip.preprocessing.size
    image = torch.randn(batch_size, 3, size, size, generator=torch.Generator().manual_seed(1)).to(device)
    return objective, {"img": image} | {name: tower(image) for name, tower in objective.frozen_towers().items()}


def compare_steps(
    objective: DistillationObjective, batch: dict[str, Any], n: int, kinds: Sequence[str] = STEPS
) -> list[StepMeasure]:
    """Take a few steps of each kind, all starting from the same prompts, then time more; the prompts are restored.

    Args:
        n: number of timed steps.
    """
    learner, device = objective.model.prompt_learner, objective.model.device
    start = copy.deepcopy(learner.state_dict())
    plain, measures = None, []
    for kind in kinds:
        learner.load_state_dict(start)
        optimizer = with_fused_kernels(build_optimizer(learner.parameters(), "sgd", LR, 0.9, 0.0))
        try:
            training = Training(objective, None, optimizer, None, 1, kind_of_step=kind)
            for _ in range(SAME_STEPS):
                training.step(batch)
            prompts = torch.cat([parameter.detach().flatten() for parameter in learner.parameters()])
            (seconds,) = interleaved_seconds([lambda training=training: training.step(batch)], n, device)
        except Exception as error:  # the purpose is to find out what the compiler or driver cannot do
            measures.append(StepMeasure(kind, failure=f"{type(error).__name__}: {str(error).strip()[:300]}"))
            continue
        plain = prompts if plain is None else plain
        change = plain - torch.cat([start[name].flatten() for name, _ in learner.named_parameters()])
        measures.append(StepMeasure(kind, seconds, float((prompts - plain).norm() / change.norm())))
    learner.load_state_dict(start)
    learner.zero_grad()
    return measures


def verdict(measures: Sequence[StepMeasure], precision: Precision) -> str:
    """A recommendation, in a sentence or two.

    >>> from kdpl.clip.precision import resolve_precision
    >>> fp32 = resolve_precision("fp32", torch.device("cpu"))
    >>> verdict([StepMeasure("plain", 0.2, 0.0), StepMeasure("graph", 0.1, 1e-6)], fp32)
    'graph steps are correct and take 50 % of the time of plain ones: set TRAINER.KDPL.STEP graph.'
    """
    plain = measures[0]
    wrong = [m for m in measures if not m.is_right(precision)]
    faults = {m.kind: "failed" if m.failure else "give different prompts" for m in wrong}
    warnings = "".join(f" {kind} steps {fault}: do not use them." for kind, fault in faults.items())
    if plain.failure:
        return f"Plain steps failed: training is not possible on this machine.{warnings}"
    fastest = min((m for m in measures if m not in wrong), key=lambda m: m.seconds)
    if fastest.seconds > 0.95 * plain.seconds:
        return f"No other kind of step is faster: leave TRAINER.KDPL.STEP plain.{warnings}"
    share = 100 * fastest.seconds / plain.seconds
    return (
        f"{fastest.kind} steps are correct and take {share:.0f} % of the time of plain ones: "
        f"set TRAINER.KDPL.STEP {fastest.kind}.{warnings}"
    )
