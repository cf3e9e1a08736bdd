"""What the results of one row of a table have in common: the setting of their runs."""

from dataclasses import dataclass
from pathlib import Path

from kdpl.run_record import RunRecord, Visible, read_record
from trainers.kdpl.config import learns, of_result

DASSL_LOG = "Dassl log"


@dataclass(frozen=True)
class Setting:
    """All that training did and saw, but for seed and dataset."""

    trainer: str
    labels_used: bool | None  # None: not recorded
    classnames: str | None  # "dataset" or "vocabulary"
    teacher: str | None
    backbone: str
    weights: tuple[tuple[str, str], ...] = ()  # role and SHA-256
    options: tuple[tuple[str, str], ...] = ()  # configuration keys and values
    origin: str = ""  # said when it is not an ordinary record

    @property
    def zero_shot(self) -> bool:
        return not learns(self.trainer)

    @property
    def base_method(self) -> str:
        """The method that learns from labels; of a zero-shot classifier its own name."""
        return self.trainer.removesuffix("_KDPL")

    @property
    def distilled(self) -> bool:
        return self.trainer.endswith("_KDPL")


@dataclass(frozen=True)
class Run:
    """One run, training or evaluation alone."""

    path: Path
    record: RunRecord
    setting: Setting


def read_run(path: Path) -> Run:
    """The run of one ``results.json``.

    Raises:
        ValueError: if it is not a record of a finished run.
    """
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
