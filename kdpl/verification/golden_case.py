"""One golden case: load prompts, evaluate them, train them for three steps, and compare every number.

The implementation being tested is a :class:`Subject`. ``golden_subject.py`` builds one from the library alone,
``tests/parity`` one from a Dassl trainer.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from ..clip.loaded import LoadedCLIP
from ..clip.templates import ENSEMBLE_OF_60
from ..clip.text_features import mean_text_features
from ..clip.towers import normalise
from ..distillation import objective as objective_module
from ..distillation.class_selection import most_likely_classes
from ..distillation.gaussian_averaging import gaussian_weights
from ..distillation.losses import kl_divergences
from ..distillation.objective import DistillationObjective
from ..distillation.training import Training
from ..methods import Method
from ..prompts.prompted_clip import PromptedCLIP
from .errors import Errors
from .golden_file import Inputs

TIE = 1e-5  # relative gap of probabilities below which either order of classes is accepted
# In float32, a divergence between nearly equal distributions is exact only to about 1e-6 nats per image, so errors of
# divergences below this many nats are taken relative to it.
LEAST_DIVERGENCE = 0.05


@dataclass
class Subject:
    """Prompts of one method in training.

    Attributes:
        settings: complete settings of the method.
        student: the CLIP without prompts, on the device and in the precision used for training.
        template: the teacher's template.
        classnames: classes of the dataset.
        training_classnames: classes used in training: the dataset's, or a vocabulary.
        load: loads tensors by their published names.
        step: takes one training step and returns the loss terms.
        end_epoch: steps the learning rate, and adds the prompts to an average.
    """

    training: Training
    method: Method
    settings: dict[str, Any]
    student: LoadedCLIP
    template: str
    classnames: list[str]
    training_classnames: list[str]
    load: Callable[[dict[str, Tensor]], None]
    step: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    end_epoch: Callable[[], None]

    @property
    def model(self) -> PromptedCLIP:
        return self.training.model

    @property
    def lr(self) -> float:
        return self.training.optimizer.param_groups[0]["lr"]

    @property
    def uses_labels(self) -> bool:
        return not isinstance(self.training.objective, DistillationObjective)

    def learned(self) -> list[tuple[str, torch.nn.Parameter]]:
        """Learned tensors by the names of the published checkpoints."""
        learner = self.model.prompt_learner
        return [(learner.official_names.get(name, name), parameter) for name, parameter in learner.named_parameters()]

    def names(self, n: int) -> list[str]:
        """The class names for an array with ``n`` rows or columns: the dataset's or those used in training."""
        return self.classnames if n == len(self.classnames) else self.training_classnames

    def autocast(self) -> AbstractContextManager:
        return self.model.precision.autocast()


def run_case(case: dict, inputs: Inputs, subject: Subject, errors: Errors) -> None:
    """Run one case, and record the differences of all numbers from the golden ones in ``errors``."""
    _load_learnable(errors, subject, case, inputs)
    start = {name: parameter.detach().clone() for name, parameter in subject.learned()}
    _compare_evaluation(errors, "eval_logits_before", subject, case, inputs)
    _compare_features(errors, subject, case, inputs)
    _compare_prepared(errors, subject, case)

    for k, step in enumerate(case["steps"], start=1):
        batch = _batch(errors, case, step, k, inputs, subject)
        if "lr" in step:
            errors.compare("lr", f"lr of step {k}", subject.lr, step["lr"])
        _train_step(errors, subject, case, step, batch, k)
        if k == 1 and "grad_step1" in case:
            _compare_gradients(errors, subject, case["grad_step1"])
        if case["one_step_per_epoch"]:
            subject.end_epoch()
        if k == 1 and "lr_after_step1" in case:
            errors.compare("lr", "lr after step 1", subject.lr, case["lr_after_step1"])

    _compare_prompts(errors, subject, case, start)
    _compare_evaluation(errors, "eval_logits_after3", subject, case, inputs)
    if "gpa_weights" in case:
        ours = gaussian_weights(subject.settings["mean"], subject.settings["std"], len(case["gpa_weights"]))
        errors.compare("weights", "weights of the epochs", ours, case["gpa_weights"])


# Prompts


def _load_learnable(errors: Errors, subject: Subject, case: dict, inputs: Inputs) -> None:
    """Check the initial values, then load the generated tensors under their published names."""
    initial = dict(subject.learned())
    state = {name: inputs.learnable(name, facts["shape"]) for name, facts in case["learnable"].items()}
    for name, facts in case["learnable"].items():
        if "used" in facts:
            errors.compare_described("params", f"generated {name}", state[name], facts["used"])
        starts_from_words = name.rpartition(".")[2] == "ctx" and not subject.model.prompt_learner.words.startswith("X")
        if starts_from_words and "official_init" in facts and name in initial:
            errors.compare_described("params", f"initial {name}", initial[name], facts["official_init"])
    name = subject.method.registered_name
    if state and case.get("registered_model", name) != name:
        errors.faults.append(f"the model is called {name}, not {case['registered_model']}")
    if state:
        subject.load(state)


def _compare_gradients(errors: Errors, subject: Subject, golden: dict) -> None:
    for name, parameter in subject.learned():
        described = golden.get(name)
        if parameter.grad is None:
            if described and described["norm"] > 0:
                errors.faults.append(f"{name} has no gradient")
        elif described is None:
            errors.not_compared.append(f"gradient of {name}")
        else:
            errors.compare_described("grad", f"gradient of {name}", parameter.grad, described, described["norm"])


def _compare_prompts(errors: Errors, subject: Subject, case: dict, start: dict[str, Tensor]) -> None:
    for name, parameter in subject.learned():
        largest, norm = float(parameter.detach().abs().max()), float(parameter.detach().norm())
        if name in case.get("params_after3", {}):
            errors.compare_described("params", f"{name} after step 3", parameter, case["params_after3"][name])
        if name in case.get("change_after3", {}):  # a difference of two tensors is only as exact as the tensors
            change = parameter.detach().double() - start[name].double()
            errors.compare_described(
                "params", f"change of {name}", change, case["change_after3"][name], scale=largest, norm=norm
            )


# Steps


def _batch(errors: Errors, case: dict, step: dict, k: int, inputs: Inputs, subject: Subject) -> dict[str, Tensor]:
    if "labels" in step:
        n = len(step["labels"])
    else:
        n = len(case.get("teacher_logits_step1", [])) or (2 if case["trainer"].startswith("CoCoOp") else 4)
    label = inputs.labels(f"train{k}", n)
    if label.tolist() != step.get("labels", label.tolist()):
        errors.faults.append(f"labels of step {k} differ, so weights.py differs from the one used for the golden file")
    device = subject.model.device
    return {"img": inputs.images(f"train{k}", n).to(device), "label": label.to(device)}


def _train_step(errors: Errors, subject: Subject, case: dict, step: dict, batch: dict[str, Tensor], k: int) -> None:
    if subject.uses_labels:
        losses = subject.step(batch)
        terms, n_classes = {}, len(subject.training_classnames)
    else:
        teacher_logits, selected = _distilled_classes(errors, subject, case, step, batch["img"], k)
        with torch.no_grad(), subject.autocast():
            forward, reverse = kl_divergences(subject.model(batch["img"], selected), teacher_logits[:, selected])
        terms, n_classes = {"kl_forward": float(forward), "kl_reverse": float(reverse)}, len(selected)
        with mock.patch.object(objective_module, "most_likely_classes", lambda *_: selected):
            losses = subject.step(batch)
    n_images = len(batch["img"])
    terms |= _named_terms({name: value.item() for name, value in losses.items()}, subject, n_images * n_classes)
    least = {"zs_kl_sum": LEAST_DIVERGENCE * n_images, "zs_kl_per_element": LEAST_DIVERGENCE / n_classes}
    for name, value in step.get("terms", {}).items():
        if name in terms:
            scale = max(abs(value), least.get(name, 0.0))
            errors.compare("terms", f"{name} of step {k}", terms[name], value, scale)
        else:
            errors.not_compared.append(f"term {name}")


@torch.no_grad()
def _distilled_classes(
    errors: Errors, subject: Subject, case: dict, step: dict, image: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Teacher logits and the classes selected in this step, which must match the golden ones except for ties."""
    objective = subject.training.objective
    teacher_logits = objective.teacher(image)
    selected = most_likely_classes(teacher_logits, objective.max_classes or len(objective.model.classnames))
    golden = sorted(step.get("selected", selected.tolist()))
    if k == 1 and "teacher_logits_step1" in case:
        expected = np.asarray(case["teacher_logits_step1"])
        ours = teacher_logits if expected.shape[1] == teacher_logits.shape[1] else teacher_logits[:, golden]
        errors.compare("logits", "teacher_logits_step1", ours, expected)
    if differing := set(selected.tolist()) ^ set(golden):
        if step.get("selection_gap", case.get("selection_gap", math.inf)) >= TIE:
            errors.faults.append(f"classes of step {k} differ: {sorted(differing)}")
        else:
            selected = torch.tensor(golden, device=image.device)
    return teacher_logits, selected


def _named_terms(losses: dict[str, float], subject: Subject, n_logits: int) -> dict[str, float]:
    """The loss terms under the golden file's names, without their weights."""
    terms = {name: losses[name] for name in ("loss", "acc") if name in losses}
    if subject.uses_labels:
        terms["cross_entropy"] = losses.get("loss_labels", losses["loss"])
    if "loss_logits" in losses:  # PromptSRC
        terms["text_l1_mean"] = losses["loss_text"] / subject.settings["text_weight"]
        terms["image_l1_mean"] = losses["loss_image"] / subject.settings["image_weight"]
        terms["zs_kl_per_element"] = losses["loss_logits"]
        terms["zs_kl_sum"] = losses["loss_logits"] * n_logits
    return terms


# Evaluation


@torch.no_grad()
def _compare_evaluation(errors: Errors, field: str, subject: Subject, case: dict, inputs: Inputs) -> None:
    if field not in case:
        return
    model, names = subject.model, subject.names(len(case[field][0]))
    with subject.autocast(), model.classes(names), model.fixed_prompts():
        logits = model(inputs.images("eval", len(case[field])).to(model.device))
    errors.compare("logits", field, logits, case[field])


@torch.no_grad()
def _compare_features(errors: Errors, subject: Subject, case: dict, inputs: Inputs) -> None:
    model, described = subject.model, case["features_before"]
    if not described:
        return
    n_images = described["image"]["shape"][0] if "image" in described else len(case["eval_logits_before"])
    prompts = model.prompt_learner()
    with subject.autocast():
        image_features = model.image_encoder(
            inputs.images("eval", n_images).to(model.device), prompts.visual, prompts.deep_visual
        )
    if "image" in described:
        errors.compare_described("features", "image features", image_features, described["image"])
    if "text" in described:
        prompts = model.prompt_learner.for_images(prompts, normalise(image_features))
        n_groups = n_images if model.prompt_learner.depends_on_image else 1
        with subject.autocast(), model.classes(subject.names(described["text"]["shape"][0] // n_groups)):
            text_features = model.encode_text(prompts).flatten(0, 1)
        errors.compare_described("features", "text features", text_features, described["text"])


@torch.no_grad()
def _compare_prepared(errors: Errors, subject: Subject, case: dict) -> None:
    for field, described in case["prepared"].items():
        names = subject.names(described["shape"][0])
        if field == "teacher_text_features":
            teacher = subject.training.objective.teacher.classifiers[0]
            ours = mean_text_features(teacher.clip, names, [subject.template], teacher.precision)
        elif field == "fixed_text_features":
            with subject.autocast(), subject.model.classes(names):
                ours = subject.model.encode_text(subject.model.prompt_learner())[0]
        elif field == "zero_shot_text_mean":
            ours = mean_text_features(subject.student, names, ENSEMBLE_OF_60, subject.model.precision)
        else:
            errors.not_compared.append(field)
            continue
        errors.compare_described("features", field, ours, described)
