"""Whether a run has been done already: the same settings, weights and prompts, and a record that says finished."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

from kdpl.clip.loading import DEMO_WEIGHTS
from kdpl.distillation.resume import changed_settings, check_settings
from kdpl.fingerprints import sha256_of

from .config import default_settings, settings_of
from .run_record import FILE_NAME, same_student

# Of these an evaluation sees only the prompts that came out, and those are compared themselves.
OF_TRAINING = ("OPTIM.", "TRAIN.", "DATALOADER.TRAIN_", "TRAINER.KDPL.", "TEST.NO_TEST", "TEST.FINAL_MODEL")


def is_finished(cfg: CfgNode, eval_only: bool = False, model_dir: str = "") -> bool:
    """Whether ``cfg.OUTPUT_DIR`` holds the results of exactly this run.

    Args:
        model_dir: output folder of the training whose prompts, as its record has them, are evaluated.

    Raises:
        ValueError: if it holds those of a training with other settings, which is too much to lose; they are listed.
    """
    file = Path(cfg.OUTPUT_DIR) / FILE_NAME
    record = read_record(file)
    if record is None or record["mode"] != ("eval" if eval_only else "train"):
        return False
    before = settings_of(record["config"]) | {"weights": record["weights_sha256"]}
    now = settings_of(cfg) | {"weights": _weights_now(record)}
    if not eval_only:
        check_settings(file, before, now, default_settings())
        return True
    if changed_settings(of_evaluation(before), of_evaluation(now), default_settings()):
        return False
    if not _has_prompts(cfg.TRAINER.NAME):
        return True
    trained = read_record(Path(model_dir) / FILE_NAME) if model_dir else None
    if trained is None or trained.get("prompts_sha256") != record.get("prompts_sha256"):
        return False
    return same_student(trained, record)  # of other weights, the evaluation was of prompts that do not belong to them


def read_record(file: Path) -> dict[str, Any] | None:
    """The record of a finished run; None if there is none."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ValueError(f"{file} is not a record of a run: {error}. Remove it to run again.") from error
    return record if record.get("status") == "finished" else None


def _weights_now(record: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of a record's weights, those of files taken anew: names of OpenAI and open_clip stay what they are."""
    weights = dict(record["weights_sha256"])
    for role, name in (("student", record["backbone"]), ("teacher", record["teacher"])):
        file = DEMO_WEIGHTS.get(name, name)
        if role in weights and os.path.isfile(file):
            weights[role] = sha256_of(file)
    return weights


def _has_prompts(trainer: str) -> bool:
    return hasattr(TRAINER_REGISTRY.get(trainer), "method")


def of_evaluation(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings that an evaluation depends on; for zero-shot CLIP no method's are among them."""
    ignored = OF_TRAINING if _has_prompts(settings["TRAINER.NAME"]) else (*OF_TRAINING, "TRAINER.")
    return {key: value for key, value in settings.items() if key == "TRAINER.NAME" or not key.startswith(ignored)}
