"""Runs and their settings: what the results in one row of a table have in common."""

from dataclasses import dataclass
from pathlib import Path

from kdpl.run_record import RunRecord, Visible, read_record
from trainers.kdpl.config import learns, of_result


@dataclass(frozen=True)
class Setting:
    """Everything about a training except its seed and dataset.

    Attributes:
        labels_used: None if not recorded.
        classnames: "dataset" or "vocabulary"; None if not recorded.
        weights: role and SHA-256.
        options: configuration keys and values.
        origin: where this comes from, unless it is an ordinary record.
    """

    trainer: str
    labels_used: bool | None
    classnames: str | None
    teacher: str | None
    backbone: str
    weights: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    origin: str = ""

    @property
    def zero_shot(self) -> bool:
        return not learns(self.trainer)

    @property
    def base_method(self) -> str:
        """The method that learns from labels; for a zero-shot classifier, its own name."""
        return self.trainer.removesuffix("_KDPL")

    @property
    def distilled(self) -> bool:
        return self.trainer.endswith("_KDPL")


@dataclass(frozen=True)
class Run:
    """One run: a training, or an evaluation alone."""

    path: Path
    record: RunRecord
    setting: Setting


def read_run(path: Path) -> Run:
    """Read one ``results.json``."""
    record = read_record(path)
    return Run(path, record, setting_of(record))


def setting_of(record: RunRecord, origin: str = "") -> Setting:
    visible = record.visible or Visible()
    settings = of_result(record.trainer, record.config, visible.classnames == "vocabulary")
    return Setting(
        trainer=record.trainer,
        labels_used=visible.labels_used,
        classnames=visible.classnames,
        teacher=record.teacher,
        backbone=record.backbone,
        weights=tuple(sorted(record.weights_sha256.items())),
        options=tuple((key, str(value)) for key, value in sorted(settings.items())),
        origin=origin,
    )
