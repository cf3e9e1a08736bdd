"""One golden case, run through its trainer: checkpoint, evaluation, three training steps."""

import math
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from kdpl.clip.loading import load_clip
from kdpl.clip.templates import ENSEMBLE_OF_60
from kdpl.clip.text_features import mean_text_features
from kdpl.clip.towers import normalise
from kdpl.distillation import objective as objective_module
from kdpl.distillation.class_selection import most_likely_classes
from kdpl.distillation.gaussian_averaging import gaussian_weights
from kdpl.distillation.losses import kl_divergences
from trainers.kdpl.trainer import PromptTrainer

from .errors import Errors
from .golden_trainer import Inputs, build_golden_trainer

TIE = 1e-5  # relative gap of probabilities below which either order of classes is right
# Between nearly equal distributions of float32 logits a divergence is known to about 1e-6 nats an image: its relative
# error is taken of this many nats where there are fewer.
LEAST_DIVERGENCE = 0.05


def run_case(case: dict, inputs: Inputs, folder: Path) -> Errors:
    """Run one case and compare every number that it gives.

    Args:
        folder: an empty one, for checkpoints.
    """
    errors = Errors()
    trainer, unknown = build_golden_trainer(case, inputs, folder)
    errors.not_compared += unknown
    if not isinstance(trainer, PromptTrainer):
        _compare_zero_shot(errors, trainer, case, inputs)
        return errors

    _load_learnable(errors, trainer, case, inputs, folder)
    start = {name: parameter.detach().clone() for name, parameter in _learned(trainer)}
    trainer.max_epoch = trainer.cfg.OPTIM.MAX_EPOCH
    trainer.before_train()
    _compare_evaluation(errors, "eval_logits_before", trainer, case, inputs)
    _compare_features(errors, trainer, case, inputs)
    _compare_prepared(errors, trainer, case, inputs)

    for k, step in enumerate(case["steps"], start=1):
        trainer.epoch, trainer.batch_idx = k - 1, 0
        batch = _batch(errors, case, step, k, inputs)
        if "lr" in step:
            errors.compare("lr", f"lr of step {k}", trainer.get_current_lr(), step["lr"])
        _train_step(errors, trainer, case, step, batch, k)
        if k == 1 and "grad_step1" in case:
            _compare_gradients(errors, trainer, case["grad_step1"])
        if case["one_step_per_epoch"]:
            trainer.update_lr()
            trainer.after_epoch()
        if k == 1 and "lr_after_step1" in case:
            errors.compare("lr", "lr after step 1", trainer.get_current_lr(), case["lr_after_step1"])

    _compare_prompts(errors, trainer, case, start)
    _compare_evaluation(errors, "eval_logits_after3", trainer, case, inputs)
    if "gpa_weights" in case:
        node = trainer.cfg.TRAINER.PROMPTSRC
        ours = gaussian_weights(node.GPA_MEAN, node.GPA_STD, len(case["gpa_weights"]))
        errors.compare("weights", "weights of the epochs", ours, case["gpa_weights"])
    return errors


# Prompts


def _learned(trainer: PromptTrainer) -> list[tuple[str, torch.nn.Parameter]]:
    """Learned tensors by the names of the published checkpoints."""
    learner = trainer.model.prompt_learner
    return [(learner.official_names.get(name, name), parameter) for name, parameter in learner.named_parameters()]


def _load_learnable(errors: Errors, trainer: PromptTrainer, case: dict, inputs: Inputs, folder: Path) -> None:
    """Hand the generated tensors over as a published checkpoint, after a look at what training would start from."""
    initial = dict(_learned(trainer))
    state = {name: inputs.learnable(name, facts["shape"]) for name, facts in case["learnable"].items()}
    for name, facts in case["learnable"].items():
        if "used" in facts:
            errors.compare_described("params", f"generated {name}", state[name], facts["used"])
        starts_from_words = name.rpartition(".")[2] == "ctx" and not trainer.model.prompt_learner.words.startswith("X")
        if starts_from_words and "official_init" in facts and name in initial:
            errors.compare_described("params", f"initial {name}", initial[name], facts["official_init"])
    if state:
        name = trainer.method.registered_name
        checkpoint = folder / "published" / name / "model.pth.tar-1"
        if case.get("registered_model", name) != name:
            errors.faults.append(f"the model is called {name}, not {case['registered_model']}")
        checkpoint.parent.mkdir(parents=True)
        torch.save({"state_dict": state, "epoch": 1}, checkpoint)
        trainer.load_model(str(folder / "published"), epoch=1)


def _compare_gradients(errors: Errors, trainer: PromptTrainer, golden: dict) -> None:
    for name, parameter in _learned(trainer):
        described = golden.get(name)
        if parameter.grad is None:
            if described and described["norm"] > 0:
                errors.faults.append(f"{name} has no gradient")
        elif described is None:
            errors.not_compared.append(f"gradient of {name}")
        else:
            errors.compare_described("grad", f"gradient of {name}", parameter.grad, described, described["norm"])


def _compare_prompts(errors: Errors, trainer: PromptTrainer, case: dict, start: dict[str, Tensor]) -> None:
    for name, parameter in _learned(trainer):
        largest, norm = float(parameter.detach().abs().max()), float(parameter.detach().norm())
        if name in case.get("params_after3", {}):
            errors.compare_described("params", f"{name} after step 3", parameter, case["params_after3"][name])
        if name in case.get("change_after3", {}):  # as exact as the tensors whose difference it is
            change = parameter.detach().double() - start[name].double()
            errors.compare_described(
                "params", f"change of {name}", change, case["change_after3"][name], scale=largest, norm=norm
            )


# Steps


def _batch(errors: Errors, case: dict, step: dict, k: int, inputs: Inputs) -> dict[str, Tensor]:
    if "labels" in step:
        n = len(step["labels"])
    else:
        n = len(case.get("teacher_logits_step1", [])) or (2 if case["trainer"].startswith("CoCoOp") else 4)
    label = inputs.labels(f"train{k}", n)
    if label.tolist() != step.get("labels", label.tolist()):
        errors.faults.append(f"labels of step {k} differ: the generator is another one")
    return {"img": inputs.images(f"train{k}", n), "label": label}


def _train_step(
    errors: Errors, trainer: PromptTrainer, case: dict, step: dict, batch: dict[str, Tensor], k: int
) -> None:
    if trainer.uses_labels:
        losses = trainer.forward_backward(batch)
        terms, n_classes = {}, len(trainer.classnames)
    else:
        teacher_logits, selected = _distilled_classes(errors, trainer, case, step, batch["img"], k)
        with torch.no_grad():
            forward, reverse = kl_divergences(trainer.model(batch["img"], selected), teacher_logits[:, selected])
        terms, n_classes = {"kl_forward": float(forward), "kl_reverse": float(reverse)}, len(selected)
        with mock.patch.object(objective_module, "most_likely_classes", lambda *_: selected):
            losses = trainer.forward_backward(batch)
    n_images = len(batch["img"])
    terms |= _named_terms({name: value.item() for name, value in losses.items()}, trainer, n_images * n_classes)
    least = {"zs_kl_sum": LEAST_DIVERGENCE * n_images, "zs_kl_per_element": LEAST_DIVERGENCE / n_classes}
    for name, value in step.get("terms", {}).items():
        if name in terms:
            scale = max(abs(value), least.get(name, 0.0))
            errors.compare("terms", f"{name} of step {k}", terms[name], value, scale)
        else:
            errors.not_compared.append(f"term {name}")


@torch.no_grad()
def _distilled_classes(
    errors: Errors, trainer: PromptTrainer, case: dict, step: dict, image: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Teacher logits and the classes of the step: ours, which have to be the golden ones or tie with them."""
    objective = trainer.training.objective
    teacher_logits = trainer.teacher(image)
    selected = most_likely_classes(teacher_logits, objective.max_classes or len(objective.model.classnames))
    golden = sorted(step.get("selected", selected.tolist()))
    if k == 1 and "teacher_logits_step1" in case:
        expected = np.asarray(case["teacher_logits_step1"])
        ours = teacher_logits if expected.shape[1] == teacher_logits.shape[1] else teacher_logits[:, golden]
        errors.compare("logits", "teacher_logits_step1", ours, expected)
    if differ := set(selected.tolist()) ^ set(golden):
        if step.get("selection_gap", case.get("selection_gap", math.inf)) >= TIE:
            errors.faults.append(f"classes of step {k} differ: {sorted(differ)}")
        else:
            selected = torch.tensor(golden)
    return teacher_logits, selected


def _named_terms(losses: dict[str, float], trainer: PromptTrainer, n_logits: int) -> dict[str, float]:
    """The trainer's terms under the golden file's names, before their weights."""
    terms = {name: losses[name] for name in ("loss", "acc") if name in losses}
    if trainer.uses_labels:
        terms["cross_entropy"] = losses.get("loss_labels", losses["loss"])
    if "loss_logits" in losses:  # of PromptSRC
        node = trainer.cfg.TRAINER.PROMPTSRC
        terms["text_l1_mean"] = losses["loss_text"] / node.TEXT_LOSS_WEIGHT
        terms["image_l1_mean"] = losses["loss_image"] / node.IMAGE_LOSS_WEIGHT
        terms["zs_kl_per_element"] = losses["loss_logits"]
        terms["zs_kl_sum"] = losses["loss_logits"] * n_logits
    return terms


# Evaluation


def _names(trainer: PromptTrainer, n: int) -> list[str]:
    """The classes that an array of ``n`` rows or columns is about: the data set's, else those of training."""
    return trainer.classnames if n == len(trainer.classnames) else trainer.training_classnames()


@torch.no_grad()
def _compare_evaluation(errors: Errors, field: str, trainer: PromptTrainer, case: dict, inputs: Inputs) -> None:
    if field not in case:
        return
    with trainer.model.classes(_names(trainer, len(case[field][0]))), trainer.model.fixed_prompts():
        logits = trainer.model(inputs.images("eval", len(case[field])))
    errors.compare("logits", field, logits, case[field])


@torch.no_grad()
def _compare_features(errors: Errors, trainer: PromptTrainer, case: dict, inputs: Inputs) -> None:
    model, described = trainer.model, case["features_before"]
    if not described:
        return
    n_images = described["image"]["shape"][0] if "image" in described else len(case["eval_logits_before"])
    prompts = model.prompt_learner()
    image_features = model.image_encoder(inputs.images("eval", n_images), prompts.visual, prompts.deep_visual)
    if "image" in described:
        errors.compare_described("features", "image features", image_features, described["image"])
    if "text" in described:
        prompts = model.prompt_learner.for_images(prompts, normalise(image_features))
        n_groups = n_images if model.prompt_learner.depends_on_image else 1
        with model.classes(_names(trainer, described["text"]["shape"][0] // n_groups)):
            text_features = model.encode_text(prompts).flatten(0, 1)
        errors.compare_described("features", "text features", text_features, described["text"])


@torch.no_grad()
def _compare_prepared(errors: Errors, trainer: PromptTrainer, case: dict, inputs: Inputs) -> None:
    for field, described in case["prepared"].items():
        names = _names(trainer, described["shape"][0])
        if field == "teacher_text_features":
            teacher = load_clip(trainer.cfg.TRAINER.KDPL.TEACHER)
            ours = mean_text_features(teacher, names, [trainer.template], trainer.precision)
        elif field == "fixed_text_features":
            with trainer.model.classes(names):
                ours = trainer.model.encode_text(trainer.model.prompt_learner())[0]
        elif field == "zero_shot_text_mean":
            ours = mean_text_features(trainer.student, names, ENSEMBLE_OF_60, trainer.precision)
        else:
            errors.not_compared.append(field)
            continue
        errors.compare_described("features", field, ours, described)


@torch.no_grad()
def _compare_zero_shot(errors: Errors, trainer: Any, case: dict, inputs: Inputs) -> None:
    if "eval_logits_before" in case:
        logits = trainer.model_inference(inputs.images("eval", len(case["eval_logits_before"])))
        errors.compare("logits", "eval_logits_before", logits, case["eval_logits_before"])
    golden = case.get("text_features", case["features_before"].get("text"))
    if isinstance(golden, dict):
        errors.compare_described("features", "text features", trainer.model.text_features, golden)
    elif golden:
        errors.compare("features", "text features", trainer.model.text_features, golden)
