"""From runs to results: whose prompts an evaluation tested, and which protocol that belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tools.sweep import protocols

from .records import Evaluation, Run, Setting

ELEVEN = tuple(protocols.ELEVEN.values())  # by the names in records
SHIFTED = {protocols.NAMES[source]: tuple(shifted.values()) for source, shifted in protocols.SHIFTED.items()}
UNKNOWN_TRAINING = "training not found"
OTHER_STUDENT = "evaluated on another student than the one that its prompts were learned for"


@dataclass(frozen=True)
class Result:
    """One accuracy of one set of prompts, with what its training did; zero-shot results have no training.

    Attributes:
        source: dataset that the prompts come from, None for zero-shot and where the training is not known.
        source_classes: all, or base: the classes that they were trained on.
        prompts: tells sets of prompts apart.
        split_sha256: of the split that training drew from.
    """

    setting: Setting
    evaluation: Evaluation
    path: Path
    source: str | None
    source_classes: str | None
    seed: int | None
    shots: int | None
    prompts: str | None
    split_sha256: str | None


def results_of(runs: Sequence[Run]) -> list[Result]:
    """Every evaluation, each with the training of its prompts; in the order of the runs."""
    trainings = [run for run in runs if run.trains]
    return [
        _result(run, evaluation, None if run.setting.zero_shot else _training_of(run, trainings))
        for run in runs
        for evaluation in run.evaluations
    ]


def _result(run: Run, evaluation: Evaluation, training: Run | None) -> Result:
    if run.setting.zero_shot:  # nothing was drawn or learned: no seed, no shots
        setting = replace(run.setting, labels_used=False, classnames=None, teacher=None)
        return Result(setting, evaluation, run.path, None, None, None, None, None, None)
    if training is None or not run.has_student_of(training):
        origin = OTHER_STUDENT if training else UNKNOWN_TRAINING
        setting = replace(run.setting, labels_used=None, classnames=None, teacher=None, origin=origin)
        prompts = run.prompts_sha256 or str(run.path)
        return Result(setting, evaluation, run.path, None, None, run.seed, run.shots, prompts, None)
    return Result(
        setting=training.setting,
        evaluation=evaluation,
        path=run.path,
        source=training.dataset,
        source_classes=training.subsample,
        seed=training.seed,
        shots=training.shots,
        prompts=training.prompts_sha256 or str(training.path),
        split_sha256=training.split_sha256,
    )


def _training_of(run: Run, trainings: Sequence[Run]) -> Run | None:
    """The run that learned the prompts which ``run`` tested: told by their hash, the folder, or else all settings."""
    if run.trains:
        return run
    if run.prompts_sha256:
        same = [training for training in trainings if training.prompts_sha256 == run.prompts_sha256]
        if same:
            return same[0]
        trainings = [training for training in trainings if not training.prompts_sha256]
    if run.model_dir:
        return next((one for one in trainings if _folder(one.output_dir) == _folder(run.model_dir)), None)
    alike = [training for training in trainings if _may_have_trained(training, run)]
    return alike[0] if len(alike) == 1 else None


def _folder(path: str | None) -> str | None:
    return path and path.removeprefix("./").rstrip("/")


def _may_have_trained(training: Run, run: Run) -> bool:
    """Whether nothing that both runs tell speaks against it; halves of the classes are tested on their own dataset."""
    ours, others = training.setting, run.setting
    halves = run.subsample != "all"
    return (
        (ours.trainer, ours.backbone, ours.origin) == (others.trainer, others.backbone, others.origin)
        and training.seed == run.seed
        and run.shots in (training.shots, -1)  # CoOp's tests on other datasets do not tell the shots
        and halves == (training.subsample == "base")
        and (training.dataset == run.dataset or not halves)
    )
