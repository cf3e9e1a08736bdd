"""Every setting of the trainers, with its choices and its meaning; those of each method come from its entry."""

import json
from collections.abc import Mapping
from enum import Flag, auto
from functools import cache, reduce
from typing import Any

from dassl.config import get_cfg_default
from yacs.config import CfgNode

from kdpl.caching.features import MAX_GB
from kdpl.clip.precision import PRECISIONS
from kdpl.dassl_ranges import DASSL_RANGES, DRAW
from kdpl.distillation.fast_steps import STEPS
from kdpl.methods import METHODS, Method
from kdpl.ranges import FLAG, LARGEST, one_of, real, several, text, whole
from kdpl.settings import flat, plain_config  # noqa: F401  the latter for those who look for it here

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
        "TRAINER.KDPL.CACHE_DIR", "TRAINER.KDPL.CACHE_GB", "TRAINER.KDPL.STEP",
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
OF_STUDENT = {"SIZE": (), "INTERPOLATION": "", "PIXEL_MEAN": [], "PIXEL_STD": []}  # empty INPUT: the student's
CLASS_AGNOSTIC_ONLY = ("TRAINER.KDPL.K_MAX", "TRAINER.KDPL.VOCABULARY")
PREC = ("fp16", one_of(*PRECISIONS))
SETTINGS = {  # key: default and range of what our trainers add to Dassl's
    "DATASET.SUBSAMPLE_CLASSES": ("all", one_of("all", "base", "new")),  # all, or one half of the classes
    "DATASET.TEMPLATE": ("", text()),  # "a photo of a {}." for teacher and zero-shot; empty: the dataset's own
    "DATASET.DRAW": ("", DRAW),  # few-shot draws: empty: CoOp's; 2SFS, or files as published_draws.py has them
    "INPUT.RESIZE": ("", one_of("", "shortest", "squash")),  # at test: and crop, or distort; empty: the student's
    "TEST.PER_IMAGE_FILE": (False, FLAG),  # write predictions.csv: label and likeliest classes of each image
    "DATASET.FOLDER.NAME": ("", text()),  # of your own images (DATASET.NAME Folder); empty: that of their folder
    "DATASET.FOLDER.CLASSNAMES": ("", text()),  # file with one name per line; empty: classnames.txt if it is there
    "DATASET.FOLDER.LABELS": ("", text()),  # CSV or JSON of path, label and perhaps split; empty: labels.csv or .json
    "DATASET.FOLDER.DIVIDE": (False, FLAG),  # whether labelled images that nothing divides are not all for training
    "DATASET.FOLDER.SHARES": ((0.5, 0.2, 0.3), several(real(0, 1), 3)),  # training, validation, test; others divide
    "DATASET.FOLDER.SPLIT_SEED": (1, whole(-LARGEST)),  # of that division; the same for all SEEDs
    **{f"TRAINER.{m.node}.{key}": known for m in METHODS.values() for key, known in m.keys.items()},
    **{f"TRAINER.{method.node}.PREC": PREC for method in METHODS.values()},  # of the student
    "TRAINER.KDPL.TEACHER": ("ViT-L/14", text()),  # as kdpl.load_clip takes it, or prompts:FILE; "A, B"
    "TRAINER.KDPL.TEACHER_SCALE": ("student", one_of("student", "own")),  # of its cosines; the student's is the paper's
    "TRAINER.KDPL.PREC": PREC,  # of the teacher
    "TRAINER.KDPL.CLASS_AGNOSTIC": (False, FLAG),  # KDPL-CA: train on a vocabulary instead of the class names
    "TRAINER.KDPL.K_MAX": (1000, whole(1)),  # KDPL-CA: classes kept in each batch
    "TRAINER.KDPL.VOCABULARY": ("", text()),  # KDPL-CA: file with one name per line; empty: the names of Open Images
    "TRAINER.KDPL.VIEWS": (0, whole(0)),  # augmentations per image, repeated; 0: as published, always new ones
    "TRAINER.KDPL.STEP": ("plain", one_of(*STEPS)),  # of training; compiled, graph: fewer launches on a GPU
    "TRAINER.KDPL.CACHE_DIR": ("", text()),  # keeps features of frozen towers for all runs and trainers; empty: none
    "TRAINER.KDPL.CACHE_PRECISION": ("fp32", one_of("fp32", "fp16")),  # of these; fp16: half the space, rounded
    "TRAINER.KDPL.CACHE_GB": (MAX_GB, real(above=0)),  # its limit; the least recently used features are removed
}
RANGES = DASSL_RANGES | {key: values for key, (_, values) in SETTINGS.items()}


def extend_cfg(cfg: CfgNode) -> None:
    """Add to Dassl's defaults what our trainers read; keys that a CoOp checkout has declared keep their values."""
    for key, (default, _) in SETTINGS.items():
        path, name = key.rsplit(".", 1)
        reduce(lambda node, part: node.setdefault(part, CfgNode()), path.split("."), cfg).setdefault(name, default)
    unset = get_cfg_default().INPUT  # which looks like values that somebody has set
    cfg.INPUT.update({key: empty for key, empty in OF_STUDENT.items() if cfg.INPUT[key] == unset[key]})


def method_settings(cfg: CfgNode, method: Method) -> dict[str, Any]:
    """The method's settings by the library's names."""
    node = cfg.TRAINER[method.node]
    return {name: node[setting.key] for name, setting in method.all_settings.items()}


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
