"""From runs to results: whose prompts an evaluation tested, and which protocol that belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdpl.run_record import Evaluation
from tools.sweep import protocols

from .records import Run, Setting

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
    trainings = [run for run in runs if run.record.trains]
    return [
        _result(run, evaluation, None if run.setting.zero_shot else _training_of(run, trainings))
        for run in runs
        for evaluation in run.record.evaluations
        if evaluation.split == "test"
    ]


def _result(run: Run, evaluation: Evaluation, training: Run | None) -> Result:
    if run.setting.zero_shot:  # nothing was drawn or learned: no seed, no shots
        setting = replace(run.setting, labels_used=False, classnames=None, teacher=None)
        return Result(setting, evaluation, run.path, None, None, None, None, None, None)
    if training is None or not run.record.same_student(training.record):
        origin = OTHER_STUDENT if training else UNKNOWN_TRAINING
        setting = replace(run.setting, labels_used=None, classnames=None, teacher=None, origin=origin)
        prompts = run.record.prompts_sha256 or str(run.path)
        return Result(setting, evaluation, run.path, None, None, run.record.seed, run.record.shots, prompts, None)
    trained = training.record
    return Result(
        setting=training.setting,
        evaluation=evaluation,
        path=run.path,
        source=trained.dataset,
        source_classes=trained.subsample,
        seed=trained.seed,
        shots=trained.shots,
        prompts=trained.prompts_sha256 or str(training.path),
        split_sha256=trained.split_sha256,
    )


def _training_of(run: Run, trainings: Sequence[Run]) -> Run | None:
    """The run that learned the prompts which ``run`` tested: told by their hash, the folder, or else all settings."""
    record = run.record
    if record.trains:
        return run
    if record.prompts_sha256:
        same = [training for training in trainings if training.record.prompts_sha256 == record.prompts_sha256]
        if same:
            return same[0]
        trainings = [training for training in trainings if not training.record.prompts_sha256]
    if record.model_dir:
        return next((one for one in trainings if _output(one) == _folder(record.model_dir)), None)
    alike = [training for training in trainings if _may_have_trained(training, run)]
    return alike[0] if len(alike) == 1 else None


def _output(run: Run) -> str:
    return _folder(run.record.config.get("OUTPUT_DIR") or str(run.path.parent))


def _folder(path: str) -> str:
    return path.removeprefix("./").rstrip("/")


def _may_have_trained(training: Run, run: Run) -> bool:
    """Whether nothing that both runs tell speaks against it; halves of the classes are tested on their own dataset."""
    trained, tested, halves = training.record, run.record, run.record.subsample != "all"
    return (
        (trained.trainer, trained.backbone) == (tested.trainer, tested.backbone)
        and training.setting.origin == run.setting.origin
        and trained.seed == tested.seed
        and tested.shots in (trained.shots, -1)  # CoOp's tests on other datasets do not tell the shots
        and halves == (trained.subsample == "base")
        and (trained.dataset == tested.dataset or not halves)
    )
