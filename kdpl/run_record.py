"""The record of a run, ``results.json``: settings, data and results, written last, once the run has finished."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .atomic_files import write_json_atomically
from .clip.device import peak_memory, reset_peak_memory
from .clip.loading import DEMO_WEIGHTS
from .determinism import numerics
from .fingerprints import sha256_of
from .outside import read_json
from .record_check import check_record
from .settings import plain_config
from .versions import versions

FILE_NAME = "results.json"
FORMAT = 1


class Unfinished(ValueError):
    """A record of a run that has not finished."""


@dataclass
class Evaluation:
    """The result on one test set.

    Attributes:
        subsample: classes: "all", "base" or "new".
        correct, total: numbers of images; None if a log does not give them.
        accuracy: percent; computed from the counts if None.
        per_class: class name, correct and total images of each class.
        details: other numbers by name.
    """

    dataset: str
    split: str = "test"
    subsample: str = "all"
    correct: int | None = None
    total: int | None = None
    accuracy: float | None = None
    per_class: list[dict[str, Any]] | None = None
    classnames_sha256: str | None = None
    split_sha256: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.total is not None and not self.total > 0:
            raise ValueError(f"reports an evaluation on {self.total} images of {self.dataset}")
        if self.accuracy is None and self.total and self.correct is not None:
            self.accuracy = 100.0 * self.correct / self.total

    @property
    def test_set(self) -> tuple[int | None, str | None]:
        """Identifies the test images and classes; results that differ in it cannot be compared."""
        return self.total, self.classnames_sha256


@dataclass
class Visible:
    """What training had access to: ``classnames`` is "dataset" or "vocabulary"; None means not recorded."""

    train_images: int | None = None
    labels_used: bool | None = None
    classnames: str | None = None


@dataclass
class RunRecord:
    """Everything recorded about a run; fields added after version 0.1 are optional.

    Attributes:
        mode: "train" or "eval".
        visible: what training had access to.
        numerics: which kinds of kernels were allowed.
        prompts_sha256: identifies the prompts that were evaluated, wherever they were stored.
        preprocessing: image size in pixels, mean, standard deviation, resizing and interpolation.
        model_dir: for an evaluation: the output folder of the training run.
        phases: seconds and peak memory of each phase.
    """

    mode: str
    trainer: str
    dataset: str
    seed: int
    shots: int
    backbone: str
    subsample: str = "all"
    teacher: str | None = None
    epochs: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    classnames_sha256: str | None = None
    split_sha256: str | None = None
    device: str | None = None
    numerics: dict[str, Any] | None = None
    weights_sha256: dict[str, str] = field(default_factory=dict)
    student_fingerprint: str | None = None
    visible: Visible | None = None
    agreement: dict[str, Any] | None = None
    preprocessing: dict[str, Any] | None = None
    prompts_sha256: str | None = None
    model_dir: str | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    phases: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        return self.mode == "train"

    @property
    def accuracies(self) -> list[dict[str, Any]]:
        """The evaluations in the form that prompt files store."""
        keys = ("dataset", "split", "subsample", "accuracy", "correct", "total")
        return [{key: getattr(result, key) for key in keys} for result in self.evaluations]

    def same_student(self, other: "RunRecord") -> bool:
        """Whether two runs have the same student, judging by its tensors if both record them, else by its file."""
        if self.student_fingerprint and other.student_fingerprint:
            return self.student_fingerprint == other.student_fingerprint
        ours, theirs = self.weights_sha256.get("student"), other.weights_sha256.get("student")
        return ours == theirs or None in (ours, theirs)

    def weights_now(self) -> dict[str, str]:
        """The hashes of the weights; those of local files, whose content may have changed, are recomputed."""
        weights = dict(self.weights_sha256)
        for role, name in (("student", self.backbone), ("teacher", self.teacher)):
            file = DEMO_WEIGHTS.get(name, name)
            if role in weights and os.path.isfile(file):
                weights[role] = sha256_of(file)
        return weights

    def add_evaluation(self, split: str, numbers: dict[str, Any]) -> None:
        """Add an evaluation on the dataset and classes of this run."""
        where = {"dataset": self.dataset, "split": split, "subsample": self.subsample}
        self.evaluations.append(evaluation_of(where | numbers))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the seconds and peak memory of a phase; a phase may consist of several parts."""
        start = time.monotonic()
        reset_peak_memory()
        try:
            yield
        finally:
            earlier = self.phases.get(name, {"seconds": 0.0, "peak_memory_mb": 0.0})
            self.phases[name] = {
                "seconds": round(earlier["seconds"] + time.monotonic() - start, 3),
                "peak_memory_mb": max(earlier["peak_memory_mb"], round(peak_memory() / 2**20, 1)),
            }

    def write(self, directory: str | Path) -> None:
        """Write ``results.json`` atomically, which marks the run as finished."""
        evaluations = []
        for evaluation in self.evaluations:
            entry = asdict(evaluation)
            evaluations.append(_without_none(entry | entry.pop("details")))
        content = {"format": FORMAT, "status": "finished", **asdict(self), "evaluations": evaluations}
        optional = {"numerics", "student_fingerprint", "visible", "agreement", "preprocessing", "model_dir"}
        content = {key: value for key, value in content.items() if value is not None or key not in optional}
        write_json_atomically(Path(directory) / FILE_NAME, content)


def record_of(cfg: Any) -> RunRecord:
    """A new record for a run with this configuration."""
    return RunRecord(
        mode="eval", trainer=cfg.TRAINER.NAME, dataset=cfg.DATASET.NAME, subsample=cfg.DATASET.SUBSAMPLE_CLASSES,
        seed=cfg.SEED, shots=cfg.DATASET.NUM_SHOTS, backbone=cfg.MODEL.BACKBONE.NAME, config=plain_config(cfg),
        numerics=numerics(), versions=versions(),
    )  # fmt: skip


def read_record(file: Path) -> RunRecord:
    """The record of a finished run.

    Raises:
        FileNotFoundError: if there is none.
        Unfinished: if the run has not finished.
        ValueError: if the file is something else.
    """
    try:
        content = read_json(file, "record of a run")
    except ValueError as error:
        raise ValueError(f"cannot be read ({str(error).removeprefix(str(file)).strip(' ,:.')})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"is not a record in the known format {FORMAT}")
    if content.get("status") != "finished":
        raise Unfinished(f"is not finished (status {content.get('status')!r})")
    try:
        check_record(content)
    except ValueError as error:
        raise ValueError(str(error).rstrip(".")) from error
    try:
        record = RunRecord(**_known(RunRecord, content))
        record.weights_sha256 = record.weights_sha256 or {}
        record.visible = record.visible and Visible(**_known(Visible, record.visible))
        record.evaluations = [_evaluation(entry, record) for entry in record.evaluations]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is incomplete ({type(error).__name__}: {error})") from error
    return record


def finished_record(file: Path) -> RunRecord | None:
    """The record of a finished run, or None.

    Raises:
        ValueError: if the file is something else.
    """
    try:
        return read_record(file)
    except (FileNotFoundError, NotADirectoryError, Unfinished):
        return None
    except ValueError as error:
        raise ValueError(f"{file} is not a valid run record: it {error}. Remove it to run again.") from error


def _evaluation(entry: Mapping[str, Any], record: RunRecord) -> Evaluation:
    evaluation = evaluation_of(entry)
    if (evaluation.dataset, evaluation.subsample) == (record.dataset, record.subsample):
        evaluation.classnames_sha256 = evaluation.classnames_sha256 or record.classnames_sha256
        evaluation.split_sha256 = evaluation.split_sha256 or record.split_sha256
    return evaluation


def evaluation_of(entry: Mapping[str, Any]) -> Evaluation:
    """Make an evaluation from numbers by name."""
    known = _known(Evaluation, entry)
    return Evaluation(**known, details={key: entry[key] for key in entry if key not in known})


def _known(kind: type, content: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {key: value for key, value in content.items() if key in names}


def _without_none(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}
