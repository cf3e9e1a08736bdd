"""Whether a run is already finished: a finished record with the same settings, weights and prompts."""

from pathlib import Path

from yacs.config import CfgNode

from kdpl.run_record import FILE_NAME, finished_record
from kdpl.settings import changed_settings, check_settings

from .config import default_settings, learns, of_evaluation, settings_of


def is_finished(cfg: CfgNode, eval_only: bool = False, model_dir: str = "") -> bool:
    """Whether ``cfg.OUTPUT_DIR`` contains the results of exactly this run.

    Args:
        model_dir: for an evaluation: output folder of the training run, whose record identifies the prompts.

    Raises:
        ValueError: if it contains a training run with other settings, which must not be overwritten; they are listed.
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
    return trained.same_student(record)  # otherwise, prompts were evaluated with weights they do not belong to
