"""Every setting of the trainers, with its choices and its meaning; those of each method come from its entry."""

import json
from collections.abc import Mapping
from enum import Flag, auto
from functools import cache
from typing import Any

from dassl.config import get_cfg_default
from yacs.config import CfgNode

from kdpl.caching.features import MAX_GB
from kdpl.methods import METHODS, Method
from kdpl.settings import flat

ZERO_SHOT = ("ZeroshotCLIP", "ZeroshotCLIP2")  # trainers that learn nothing


class Changes(Flag):
    """What another value of a setting may change: what a training learns, what an evaluation gives."""

    NOTHING = 0
    TRAINING = auto()
    EVALUATION = auto()
    BOTH = TRAINING | EVALUATION


CHANGES = {  # by the beginning of the key; the first that fits decides, and what none fits changes both
    Changes.NOTHING: (
        "OUTPUT_DIR", "RESUME", "VERBOSE", "USE_CUDA", "DATASET.ROOT", "DATALOADER.NUM_WORKERS", "TRAIN.PRINT_FREQ",
        "TRAIN.CHECKPOINT_FREQ", "TEST.PER_CLASS_RESULT", "TEST.COMPUTE_CMAT", "TEST.PER_IMAGE_FILE",
        "TRAINER.KDPL.CACHE_DIR", "TRAINER.KDPL.CACHE_GB",
    ),
    Changes.BOTH: ("TRAINER.KDPL.CACHE_PRECISION",),
    Changes.TRAINING: ("OPTIM.", "TRAIN.", "DATALOADER.TRAIN_", "TRAINER.KDPL.", "TEST.NO_TEST", "TEST.FINAL_MODEL"),
    Changes.EVALUATION: ("TEST.", "DATALOADER.TEST."),
}  # fmt: skip
TOLD_ELSEWHERE = (  # by other facts of a record
    "SEED", "DATASET.NAME", "DATASET.NUM_SHOTS", "DATASET.SUBSAMPLE_CLASSES", "DATASET.FOLDER.", "MODEL.BACKBONE.NAME",
    "TRAINER.NAME", "TRAINER.KDPL.TEACHER", "TRAINER.KDPL.CLASS_AGNOSTIC", "TEST.NO_TEST", "TEST.SPLIT",
    "DATALOADER.TEST.",  # exact counts do not depend on it
)  # fmt: skip
CLASS_AGNOSTIC_ONLY = ("TRAINER.KDPL.K_MAX", "TRAINER.KDPL.VOCABULARY")


def extend_cfg(cfg: CfgNode) -> None:
    """Add to Dassl's defaults what our trainers read; keys that a CoOp checkout has declared keep their values."""
    cfg.DATASET.setdefault("SUBSAMPLE_CLASSES", "all")  # all, or one half of the classes: base, new
    cfg.DATASET.setdefault("TEMPLATE", "")  # "a photo of a {}." for teacher and zero-shot; empty: the dataset's own
    cfg.DATASET.setdefault("DRAW", "")  # few-shot draws: empty: CoOp's; 2SFS, or files as published_draws.py has them
    cfg.TEST.setdefault("PER_IMAGE_FILE", False)  # write predictions.csv: label and likeliest classes of each image

    folder = cfg.DATASET.setdefault("FOLDER", CfgNode())  # of DATASET.NAME Folder: images of one's own in --root
    folder.setdefault("NAME", "")  # of the collection, in records and tables; empty: the name of its folder
    folder.setdefault("CLASSNAMES", "")  # file with one name per line; empty: classnames.txt if it is there
    folder.setdefault("LABELS", "")  # CSV or JSON of path, label and, optionally, split; empty: labels.csv, labels.json
    folder.setdefault("DIVIDE", False)  # labelled images that nothing divides: by SHARES; False: all are for training
    folder.setdefault("SHARES", (0.5, 0.2, 0.3))  # of a class for training, validation, test; others than these divide
    folder.setdefault("SPLIT_SEED", 1)  # of that division; the same for all SEEDs

    for method in METHODS.values():
        node = cfg.TRAINER.setdefault(method.node, CfgNode())
        for setting in method.all_settings.values():
            node.setdefault(setting.key, setting.default if setting.key_default is None else setting.key_default)
        node.setdefault("PREC", "fp16")  # of the student: fp32, bf16, fp16, amp

    kdpl = cfg.TRAINER.setdefault("KDPL", CfgNode())
    kdpl.setdefault("TEACHER", "ViT-L/14")  # OpenAI name, "open_clip:<model>/<tag>" or a file; "A, B": both, averaged
    kdpl.setdefault("PREC", "fp16")  # of the teacher
    kdpl.setdefault("CLASS_AGNOSTIC", False)  # KDPL-CA: train on a vocabulary instead of the class names
    kdpl.setdefault("K_MAX", 1000)  # KDPL-CA: classes kept in each batch
    kdpl.setdefault("VOCABULARY", "")  # KDPL-CA: file with one name per line; empty: the names of Open Images
    kdpl.setdefault("VIEWS", 0)  # augmentations per image, repeated over the epochs; 0: as published, always new ones
    kdpl.setdefault("CACHE_DIR", "")  # keeps features of frozen towers for all runs and trainers; empty: none
    kdpl.setdefault("CACHE_PRECISION", "fp32")  # of what it keeps; fp16: half the space, results of rounded features
    kdpl.setdefault("CACHE_GB", MAX_GB)  # its limit; the least recently used features are removed


def method_settings(cfg: CfgNode, method: Method) -> dict[str, Any]:
    """The method's settings by the library's names."""
    node = cfg.TRAINER[method.node]
    return {name: node[setting.key] for name, setting in method.all_settings.items()}


def plain_config(cfg: CfgNode) -> dict[str, Any]:
    """The configuration as nested dictionaries of plain values."""
    return {key: plain_config(value) if isinstance(value, CfgNode) else value for key, value in sorted(cfg.items())}


def changes(key: str) -> Changes:
    """What another value of a setting may change."""
    return next((what for what, starts in CHANGES.items() if key.startswith(starts)), Changes.BOTH)


def learns(trainer: str) -> bool:
    """Whether a trainer learns anything; zero-shot CLIP does not."""
    return trainer not in ZERO_SHOT


def settings_of(config: Mapping[str, Any]) -> dict[str, object]:
    """The settings of a configuration that results depend on, by dotted key, as they look when read from JSON."""
    settings = {key: value for key, value in flat(config).items() if changes(key)}
    return json.loads(json.dumps(settings))  # tuples become lists, as in a file


def of_evaluation(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings that an evaluation depends on; for zero-shot CLIP no method's are among them.

    Of a training it sees only the prompts that came out, and those are compared themselves.
    """
    learned = learns(settings["TRAINER.NAME"])
    return {
        key: value
        for key, value in settings.items()
        if Changes.EVALUATION in changes(key) and (learned or key == "TRAINER.NAME" or not key.startswith("TRAINER."))
    }


def of_result(trainer: str, config: Mapping[str, Any], class_agnostic: bool) -> dict[str, object]:
    """The settings that tell the results of one trainer apart; what a record does not have counts as the default."""
    wanted = Changes.TRAINING if learns(trainer) else Changes.EVALUATION
    nodes = (f"TRAINER.{trainer.removesuffix('_KDPL').upper()}.",) + ("TRAINER.KDPL.",) * trainer.endswith("_KDPL")
    left_out = TOLD_ELSEWHERE + CLASS_AGNOSTIC_ONLY * (not class_agnostic)
    return {
        key: value
        for key, value in (default_settings() | settings_of(config)).items()
        if wanted in changes(key)
        and (key.startswith(nodes) or not key.startswith("TRAINER."))
        and not key.startswith(left_out)
    }


@cache
def default_settings() -> dict[str, object]:
    """What a setting is where a configuration does not have its key, as it was written before there was one."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    return settings_of(cfg)
