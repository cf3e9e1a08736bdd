"""What the benchmark measures: functions of a setting that return rows of plain values."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdpl.clip.device import peak_memory
from kdpl.clip.precision import resolve_precision
from kdpl.distillation.fast_steps import total_loss
from kdpl.distillation.objective import STUDENT, TEACHER, DistillationObjective
from kdpl.distillation.optimization import build_optimizer, with_fused_kernels
from kdpl.distillation.training import Training
from kdpl.measuring.random_clips import image_flops, random_clip
from kdpl.measuring.steps import step_case
from kdpl.measuring.timing import interleaved_seconds, matrix_ceiling
from kdpl.methods import METHODS
from kdpl.prompts import CoOpPromptLearner
from kdpl.prompts.prompted_clip import PromptedCLIP

from .plain import PlainCoOp

ROOT = Path(__file__).parents[2]
Row = dict[str, Any]
# Names of Open Images V7 by the number of their tokens, from one token on, as CLIP's tokenizer counts them.
NAMES_BY_LENGTH = (3054, 8306, 4876, 2438, 1158, 555, 310, 120, 58, 29, 11, 5, 2, 2, 3, 1, 2)
CHOSEN = 1000


@dataclass(frozen=True)
class Setting:
    """The size of what is measured."""

    device: torch.device
    student: str
    teacher: str
    classes: int
    batch: int
    steps: int
    quick: bool
    clock: Callable[[], float] = time.perf_counter

    def seconds(self, functions: list[Callable[[], Any]]) -> list[float]:
        """Median seconds of each function, called in turn."""
        return interleaved_seconds(functions, self.steps, self.device, clock=self.clock)


def case(setting: Setting, method: str = "CoOp", classes: int | None = None) -> tuple[DistillationObjective, dict]:
    """An objective and a batch with its features."""
    fp32 = resolve_precision("fp32", setting.device)
    n_classes = classes or setting.classes
    return step_case(method, setting.student, setting.teacher, n_classes, setting.batch, setting.device, fp32)


def gradient(objective: DistillationObjective, loss: Tensor) -> Tensor:
    """All gradients of the prompts as one vector."""
    objective.model.prompt_learner.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in objective.model.prompt_learner.parameters()])


def against_plain(setting: Setting) -> list[Row]:
    """CoOp_KDPL beside the plain computation, in turn: text tower, whole step by what the cache holds, evaluation."""
    objective, full = case(setting)
    plain, model, image = PlainCoOp(objective), objective.model, full["img"]
    towers = objective.frozen_towers()
    expected, found = plain.loss(image), total_loss(objective.terms(full))
    loss_difference = abs(float(found - expected))
    ours, theirs = gradient(objective, found), gradient(objective, expected)
    agreement = {
        "difference of the loss": loss_difference,
        "difference of the gradient": float((ours - theirs).norm() / theirs.norm()),
    }

    def step(known: tuple[str, ...]) -> Callable[[], None]:
        def run() -> None:
            features = {name: full[name] if name in known else tower(image) for name, tower in towers.items()}
            total_loss(objective.terms({"img": image} | features)).backward()

        return run

    def evaluate() -> None:
        with torch.no_grad():
            model(image)

    pairs = {
        "text tower": [lambda: plain.text_features().mean().backward(), lambda: text_features(model).mean().backward()],
        "step, cache empty": [lambda: plain.loss(image).backward(), step(())],
        "step, teacher cached": [lambda: plain.loss(image).backward(), step((TEACHER,))],
        "step, both cached": [lambda: plain.loss(image).backward(), step((TEACHER, STUDENT))],
    }
    rows = [beside(name, functions, setting) for name, functions in pairs.items()]
    with model.fixed_prompts():
        rows.append(beside("evaluation of a batch", [lambda: plain.logits(image), evaluate], setting))
    return [row | (agreement if "cache empty" in row["what"] else {}) for row in rows]


def text_features(model: PromptedCLIP, class_indices: Tensor | None = None) -> Tensor:
    """Features of prompts that are learned."""
    return model.encode_text(model.prompt_learner(), class_indices)


def beside(what: str, functions: list[Callable[[], Any]], setting: Setting) -> Row:
    """Seconds of the plain computation and of ours."""
    plain, ours = setting.seconds(functions)
    return {"what": what, "plain, s": plain, "here, s": ours, "times as fast": plain / ours}


def parts_of_steps(setting: Setting) -> list[Row]:
    """Where the time of a step goes, for every method."""
    rows = []
    for method in ("CoOp", "MaPLe") if setting.quick else METHODS:
        objective, batch = case(setting, method)
        towers, learner = objective.frozen_towers(), objective.model.prompt_learner
        optimizer = with_fused_kernels(build_optimizer(learner.parameters(), "sgd", 1e-4, 0.9, 0.0))
        training = Training(objective, None, optimizer, None, 1)
        parts = {name: (lambda tower=tower, image=batch["img"]: tower(image)) for name, tower in towers.items()}
        whole = partial(training.step, batch)
        functions = [*parts.values(), whole, optimizer.step]
        *frozen, step, update = setting.seconds(functions)
        of_towers = dict(zip(parts, frozen, strict=True))
        rows.append({
            "method": method, "teacher's images, s": of_towers[TEACHER],
            "frozen student's images, s": of_towers.get(STUDENT, 0.0),
            "prompts, forward and backward, s": step - update, "optimiser, s": update,
            "kernels per step": kernels(whole),
        })  # fmt: skip
    return rows


def kernels(step: Callable[[], Any]) -> int:
    """How many kernels a step launches: on a CPU operators that call no others."""
    kinds = torch.profiler.ProfilerActivity
    activities = [kinds.CPU] + [kinds.CUDA] * torch.cuda.is_available()
    with torch.profiler.profile(activities=activities) as profile:
        step()
    on_card = sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())
    return on_card or sum(event.name.startswith("aten::") and not event.cpu_children for event in profile.events())


def numbers_of_classes(setting: Setting) -> list[Row]:
    """Text forward and backward with more and more classes, and the memory of the process or card so far."""
    counts = (10, 100, 1000) if setting.quick else (10, 100, 1000, 2000, 5000)
    rows = []
    for n in counts:
        model = coop(setting, [f"class number {i}" for i in range(n)])
        (seconds,) = setting.seconds([lambda model=model: text_features(model).mean().backward()])
        rows.append({"classes": n, "text, s": seconds, "peak memory, GB": peak_memory() / 1e9})
    return rows


def chosen_classes(setting: Setting) -> list[Row]:
    """Text forward and backward of 1,000 names of 20,930, padded to what any of them could need and to their own."""
    names = [
        " ".join(["cat"] * (length - 1) + [word])
        for length, count in enumerate(NAMES_BY_LENGTH, start=1)
        for word in (["dog"] * count)
    ]
    model = coop(setting, names)
    chosen = torch.randperm(len(names), generator=torch.Generator().manual_seed(0))[:CHOSEN].sort().values
    chosen, words = chosen.to(setting.device), model.class_tokens
    longest = sorted((int(end) + 1 for end in words.ends), reverse=True)[:CHOSEN]
    at_most = [(longest[0], CHOSEN // 16), (longest[CHOSEN // 16], CHOSEN // 4 - CHOSEN // 16)]
    at_most.append((longest[CHOSEN // 4], CHOSEN - CHOSEN // 4))
    own = words.subset_by_length(words.count_by_bucket(chosen))

    def padded() -> Tensor:
        assembled = words.assemble(model.prompt_learner().ctx, model.text_encoder.embed, chosen)
        return model.text_encoder(*assembled, (), at_most)

    row = beside(
        f"{CHOSEN} of {len(names)} names",
        [lambda: padded().mean().backward(), lambda: text_features(model, chosen).mean().backward()],
        setting,
    )
    n_prefix = words.n_start + words.n_ctx
    tokens = {
        name: sum((length - n_prefix) * n for length, n in groups)
        for name, groups in {"plain": at_most, "here": own}.items()
    }
    return [row | {f"tokens, {name}": n for name, n in tokens.items()}]


def coop(setting: Setting, names: list[str]) -> PromptedCLIP:
    """A student with CoOp's prompts."""
    clip = _random_student(setting.student)
    return PromptedCLIP(clip, CoOpPromptLearner(clip), names, device=setting.device)


_random_student = cache(random_clip)


def share_of_ceiling(setting: Setting) -> list[Row]:
    """How much of what matrix products reach the teacher's image tower does."""
    objective, batch = case(setting)
    ceiling = matrix_ceiling(setting.device, torch.float32, clock=setting.clock)
    functions = [lambda: objective.teacher.image_features(batch["img"])]
    (seconds,) = setting.seconds(functions)
    reached = setting.batch * image_flops(setting.teacher) / seconds
    return [{
        "matrix products, TFLOP/s": ceiling / 1e12, "teacher, TFLOP/s": reached / 1e12,
        "share of it, %": 100 * reached / ceiling,
    }]  # fmt: skip


def start_up(setting: Setting) -> list[Row]:
    """Processor seconds until a training on the demo could start, beside those of importing its libraries."""
    guards = "from kdpl.import_guards import import_clip, import_torchvision"
    imports = f"import torch; {guards}; import_torchvision(); import_clip()"
    with tempfile.TemporaryDirectory() as output:
        train = [
            "train.py", "--root", "tests/regression/images", "--seed", "1", "--trainer", "CoOp_KDPL", "--no-train",
            "--config-file", "tests/regression/settings.yaml", "--output-dir", output,
        ]  # fmt: skip
        rows = {"import torch, torchvision, clip": ["-c", imports], "train.py --no-train on the demo": train}
        return [{"what": name, "processor, s": processor_seconds(command)} for name, command in rows.items()]


def processor_seconds(command: list[str], n: int = 3) -> float:
    """The fewest processor seconds of a Python process in several attempts."""
    found = []
    for _ in range(n):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-W", "ignore", *command], cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


MEASURES: dict[str, Callable[[Setting], list[Row]]] = {  # heading: function
    "CoOp_KDPL beside the plain computation": against_plain,
    "Parts of a step": parts_of_steps,
    "Class-agnostic training": chosen_classes,
    "Numbers of classes": numbers_of_classes,
    "Share of the ceiling": share_of_ceiling,
    "Start-up": start_up,
}
