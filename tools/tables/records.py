"""What a finished run did, saw and scored, from its ``results.json``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORD = "results.json"
ZERO_SHOT = ("ZeroshotCLIP", "ZeroshotCLIP2")  # trainers that learn nothing
# Configuration that shapes a result, beside the node of the method; what is told by other fields is left out.
TRAINING_OPTIONS = ("INPUT.", "OPTIM.", "DATALOADER.TRAIN_X.", "DATASET.TEMPLATE", "TEST.FINAL_MODEL")
ZERO_SHOT_OPTIONS = ("INPUT.SIZE", "INPUT.INTERPOLATION", "INPUT.PIXEL_", "DATASET.TEMPLATE")
TOLD_ELSEWHERE = ("TRAINER.KDPL.TEACHER", "TRAINER.KDPL.CLASS_AGNOSTIC")
CLASS_AGNOSTIC_ONLY = ("TRAINER.KDPL.K_MAX", "TRAINER.KDPL.VOCABULARY")


@dataclass(frozen=True)
class Setting:
    """What the runs of one row of a table have in common: all that training did and saw, but for seed and dataset."""

    trainer: str
    labels_used: bool | None  # None: not recorded
    classnames: str | None  # "dataset" or "vocabulary"
    teacher: str | None
    backbone: str
    weights: tuple[tuple[str, str], ...] = ()  # role and SHA-256
    options: tuple[tuple[str, str], ...] = ()  # configuration keys and values
    origin: str = ""  # said when it is no ordinary record

    @property
    def zero_shot(self) -> bool:
        return self.trainer in ZERO_SHOT

    @property
    def base_method(self) -> str:
        """The method that learns from labels; of a zero-shot classifier its own name."""
        return self.trainer.removesuffix("_KDPL")

    @property
    def distilled(self) -> bool:
        return self.trainer.endswith("_KDPL")


@dataclass(frozen=True)
class Evaluation:
    """One accuracy on one test set."""

    dataset: str
    subsample: str  # all, base, new
    accuracy: float  # percent
    total: int | None  # test images; None: not recorded, as the class list and the split
    classnames_sha256: str | None = None
    split_sha256: str | None = None

    @property
    def test_set(self) -> tuple[int | None, str | None]:
        """Results on different images or classes are not comparable."""
        return self.total, self.classnames_sha256


@dataclass(frozen=True)
class Run:
    """One run, training or evaluation alone."""

    path: Path
    trains: bool
    setting: Setting
    dataset: str
    subsample: str
    seed: int
    shots: int
    evaluations: tuple[Evaluation, ...]
    split_sha256: str | None = None
    prompts_sha256: str | None = None
    student_fingerprint: str | None = None
    output_dir: str | None = None
    model_dir: str | None = None  # of an evaluation: the output folder of its training

    def has_student_of(self, training: "Run") -> bool:
        """Whether nothing that both runs tell speaks against one student."""
        if self.student_fingerprint and training.student_fingerprint:
            return self.student_fingerprint == training.student_fingerprint
        ours, theirs = (dict(run.setting.weights).get("student") for run in (self, training))
        return ours == theirs or None in (ours, theirs)


def read_record(path: Path) -> Run:
    """One ``results.json``.

    Raises:
        ValueError: if it is no record of a finished run.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is no JSON ({error})") from error
    if not isinstance(record, dict) or record.get("format") != 1:
        raise ValueError("is no record of the known format 1")
    if record.get("status") != "finished":
        raise ValueError(f"is not finished (status {record.get('status')!r})")
    try:
        return _run_of(path, record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is not whole ({type(error).__name__}: {error})") from error


def _run_of(path: Path, record: dict[str, Any]) -> Run:
    trains = record["mode"] == "train"
    visible, config = record.get("visible", {}), record.get("config", {})
    classnames = visible.get("classnames")
    setting = Setting(
        trainer=record["trainer"],
        labels_used=visible.get("labels_used"),
        classnames=classnames,
        teacher=record.get("teacher"),
        backbone=record["backbone"],
        weights=tuple(sorted((record.get("weights_sha256") or {}).items())),
        options=options_of(record["trainer"], config, classnames),
    )
    return Run(
        path=path,
        trains=trains,
        setting=setting,
        dataset=record["dataset"],
        subsample=record.get("subsample", "all"),
        seed=record["seed"],
        shots=record["shots"],
        evaluations=tuple(_evaluation(entry, record) for entry in record["evaluations"] if entry["split"] == "test"),
        split_sha256=record.get("split_sha256"),
        prompts_sha256=record.get("prompts_sha256"),
        student_fingerprint=record.get("student_fingerprint"),
        output_dir=config.get("OUTPUT_DIR"),
        model_dir=record.get("model_dir"),
    )


def _evaluation(entry: dict[str, Any], record: dict[str, Any]) -> Evaluation:
    subsample = entry.get("subsample", "all")
    own = entry["dataset"] == record["dataset"] and subsample == record.get("subsample", "all")
    facts = record if own else {}
    if not entry["total"] > 0:
        raise ValueError(f"was evaluated on {entry['total']} images of {entry['dataset']}")
    return Evaluation(
        dataset=entry["dataset"],
        subsample=subsample,
        accuracy=100.0 * entry["correct"] / entry["total"],
        total=entry["total"],
        classnames_sha256=entry.get("classnames_sha256", facts.get("classnames_sha256")),
        split_sha256=entry.get("split_sha256", facts.get("split_sha256")),
    )


def options_of(trainer: str, config: dict[str, Any], classnames: str | None) -> tuple[tuple[str, str], ...]:
    """Keys and values of a nested configuration that shape the results of a trainer."""
    if trainer in ZERO_SHOT:
        wanted = ZERO_SHOT_OPTIONS
    else:
        wanted = (*TRAINING_OPTIONS, f"TRAINER.{trainer.removesuffix('_KDPL').upper()}.")
        wanted += ("TRAINER.KDPL.",) * trainer.endswith("_KDPL")
    left_out = TOLD_ELSEWHERE if classnames == "vocabulary" else TOLD_ELSEWHERE + CLASS_AGNOSTIC_ONLY
    flat = _flatten(config)
    return tuple((key, str(flat[key])) for key in sorted(flat) if key.startswith(wanted) and key not in left_out)


def _flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
