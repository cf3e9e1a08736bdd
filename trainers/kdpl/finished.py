"""Whether a run has been done already: the same settings, weights and prompts, and a record that says finished."""

from pathlib import Path

from yacs.config import CfgNode

from kdpl.run_record import FILE_NAME, finished_record
from kdpl.settings import changed_settings, check_settings

from .config import default_settings, learns, of_evaluation, settings_of


def is_finished(cfg: CfgNode, eval_only: bool = False, model_dir: str = "") -> bool:
    """Whether ``cfg.OUTPUT_DIR`` holds the results of exactly this run.

    Args:
        model_dir: output folder of the training whose prompts, as its record has them, are evaluated.

    Raises:
        ValueError: if it holds those of a training with other settings, which is too much to lose; they are listed.
    """
    file = Path(cfg.OUTPUT_DIR) / FILE_NAME
    record = finished_record(file)
    if record is None or record.trains == eval_only:
        return False
    before = settings_of(record.config) | {"weights": record.weights_sha256}
    now = settings_of(cfg) | {"weights": record.weights_now()}
    if not eval_only:
        check_settings(file, before, now, default_settings())
        return True
    if changed_settings(of_evaluation(before), of_evaluation(now), default_settings()):
        return False
    if not learns(cfg.TRAINER.NAME):
        return True
    trained = finished_record(Path(model_dir) / FILE_NAME) if model_dir else None
    if trained is None or trained.prompts_sha256 != record.prompts_sha256:
        return False
    return trained.same_student(record)  # of other weights, the evaluation was of prompts that do not belong to them
