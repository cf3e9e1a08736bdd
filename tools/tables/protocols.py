"""From runs to results: which training the evaluated prompts came from, and what it trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdpl.run_record import Evaluation
from tools.sweep import protocols

from .records import Run, Setting

ELEVEN = tuple(protocols.ELEVEN.values())  # by their names in records
SHIFTED = {protocols.NAMES[source]: tuple(shifted.values()) for source, shifted in protocols.SHIFTED.items()}
UNKNOWN_TRAINING = "training not found"
OTHER_STUDENT = "evaluated on a different student from the one its prompts were learned for"


@dataclass(frozen=True)
class Result:
    """One accuracy of one set of prompts, with facts about its training; zero-shot results have none.

    Attributes:
        source: dataset of the training; None if there was none or it is not known.
        source_classes: "all" or "base", the classes of the training.
        prompts: identifies the set of prompts.
        split_sha256: of the split that the training drew from.
    """

    setting: Setting
    evaluation: Evaluation
    path: Path
    source: str | None = None
    source_classes: str | None = None
    seed: int | None = None
    shots: int | None = None
    prompts: str | None = None
    split_sha256: str | None = None


def results_of(runs: Sequence[Run]) -> list[Result]:
    """Every evaluation with the training of its prompts, in the order of the runs."""
    trainings = [run for run in runs if run.record.trains]
    return [
        _result(run, evaluation, None if run.setting.zero_shot else _training_of(run, trainings))
        for run in runs
        for evaluation in run.record.evaluations
        if evaluation.split == "test"
    ]


def _result(run: Run, evaluation: Evaluation, training: Run | None) -> Result:
    if run.setting.zero_shot:  # nothing was drawn or learned
        setting = replace(run.setting, labels_used=False, classnames=None, teacher=None)
        return Result(setting, evaluation, run.path)
    if training is None or not run.record.same_student(training.record):
        origin = OTHER_STUDENT if training else UNKNOWN_TRAINING
        return Result(
            replace(run.setting, labels_used=None, classnames=None, teacher=None, origin=origin),
            evaluation,
            run.path,
            seed=run.record.seed,
            shots=run.record.shots,
            prompts=run.record.prompts_sha256 or str(run.path),
        )
    trained = training.record
    return Result(
        training.setting,
        evaluation,
        run.path,
        source=trained.dataset,
        source_classes=trained.subsample,
        seed=trained.seed,
        shots=trained.shots,
        prompts=trained.prompts_sha256 or str(training.path),
        split_sha256=trained.split_sha256,
    )


def _training_of(run: Run, trainings: Sequence[Run]) -> Run | None:
    """The run that learned the evaluated prompts, identified by their hash or, for logs, by its folder."""
    record = run.record
    if record.trains:
        return run
    if record.prompts_sha256:
        return next((one for one in trainings if one.record.prompts_sha256 == record.prompts_sha256), None)
    folder = _folder(record.model_dir or "")
    return next((one for one in trainings if _output(one) == folder), None)


def _output(run: Run) -> str:
    return _folder(run.record.config.get("OUTPUT_DIR") or str(run.path.parent))


def _folder(path: str) -> str:
    return path.removeprefix("./").rstrip("/")
