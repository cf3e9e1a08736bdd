"""Building the subject of a golden case, its prompts, steps and losses, from the library alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..clip.loaded import LoadedCLIP
from ..clip.loading import load_clip
from ..clip.precision import Precision
from ..clip.templates import template_of
from ..clip.zero_shot import ZeroShotClassifier
from ..distillation.objective import DistillationObjective, LabelObjective
from ..distillation.optimization import CosineWithWarmup, build_optimizer
from ..distillation.teacher import Teacher
from ..distillation.training import Training
from ..methods import find_method
from ..prompts.prompted_clip import PromptedCLIP
from .golden_case import Subject
from .golden_file import Inputs

Load = Callable[[str], LoadedCLIP]


def build_subject(
    case: dict, inputs: Inputs, device: torch.device, precision: Precision, load: Load = load_clip,
    kind_of_step: str = "plain",
) -> Subject:  # fmt: skip
    """Set up the training of a golden case, with CLIPs from files in OpenAI's layout.

    Args:
        load: loads a CLIP from a file.
        kind_of_step: see :class:`Training`.

    Raises:
        ValueError: if the case is class-agnostic, or its method is unknown.
    """
    if case["class_agnostic"]:
        raise ValueError("class-agnostic cases need `python -m tests.parity`")
    method = find_method(case["trainer"].removesuffix("_KDPL"))
    options = dict(zip(case["opts"][::2], case["opts"][1::2], strict=True))
    keys = {f"TRAINER.{method.node}.{setting.key}": name for name, setting in method.all_settings.items()}
    settings = method.complete({name: options[key] for key, name in keys.items() if key in options})
    classnames, template = inputs.golden["classnames"], template_of(case["dataset"])

    clip = load(str(inputs.clip_file("student", case["arch"], fingerprinted=True)))
    learner = method.build_learner(clip, settings, len(classnames))
    model = PromptedCLIP(clip, learner, classnames, device=device, precision=precision)
    regulariser = method.build_regulariser(model.clip, settings, classnames, template, precision=precision)
    if case["trainer"].endswith("_KDPL"):
        file = inputs.clip_file("teacher", case.get("teacher_arch", "vit_t"), fingerprinted=True)
        classifier = ZeroShotClassifier(
            load(str(file)), classnames, [template], device=device, precision=precision, logit_scale=model.logit_scale
        )
        objective = DistillationObjective(model, Teacher([classifier]), None, regulariser)
    else:
        objective = LabelObjective(model, regulariser)
    optimizer = build_optimizer(
        learner.parameters(), options["OPTIM.NAME"], options["OPTIM.LR"], options["OPTIM.MOMENTUM"],
        options["OPTIM.WEIGHT_DECAY"],
    )  # fmt: skip
    scheduler = CosineWithWarmup(optimizer, method.epochs, 0, 0.0)
    training = Training(objective, None, optimizer, scheduler, method.epochs, kind_of_step=kind_of_step)

    @torch.no_grad()
    def load_learned(state: dict[str, Tensor]) -> None:
        for name, parameter in learner.named_parameters():
            parameter.copy_(state[learner.official_names.get(name, name)])

    return Subject(
        training=training, method=method, settings=settings, student=model.clip, template=template,
        classnames=classnames, training_classnames=classnames, load=load_learned, step=training.step,
        end_epoch=training.finish_epoch,
    )  # fmt: skip
