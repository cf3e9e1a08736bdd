"""All settings of the trainers, with their ranges and meanings; method settings come from each method's entry."""

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
from kdpl.settings import flat, plain_config  # noqa: F401  plain_config is imported from here by others

ZERO_SHOT = ("ZeroshotCLIP", "ZeroshotCLIP2")  # trainers that learn nothing


class Changes(Flag):
    """What a setting may affect: the prompts that training learns, the results of an evaluation, both, or neither."""

    NOTHING = 0
    TRAINING = auto()
    EVALUATION = auto()
    BOTH = TRAINING | EVALUATION


CHANGES = {  # by prefix of the key; the first match decides, and keys without a match affect both
    Changes.NOTHING: (
        "OUTPUT_DIR", "RESUME", "VERBOSE", "USE_CUDA", "DATASET.ROOT", "DATALOADER.NUM_WORKERS", "TRAIN.PRINT_FREQ",
        "TRAIN.CHECKPOINT_FREQ", "TEST.PER_CLASS_RESULT", "TEST.COMPUTE_CMAT", "TEST.PER_IMAGE_FILE",
        "TRAINER.KDPL.CACHE_DIR", "TRAINER.KDPL.CACHE_GB", "TRAINER.KDPL.STEP",
    ),
    Changes.BOTH: ("TRAINER.KDPL.CACHE_PRECISION",),
    Changes.TRAINING: ("OPTIM.", "TRAIN.", "DATALOADER.TRAIN_", "TRAINER.KDPL.", "TEST.NO_TEST", "TEST.FINAL_MODEL"),
    Changes.EVALUATION: ("TEST.", "DATALOADER.TEST."),
}  # fmt: skip
RECORDED_ELSEWHERE = (  # keys covered by other fields of a record
    "SEED", "DATASET.NAME", "DATASET.NUM_SHOTS", "DATASET.SUBSAMPLE_CLASSES", "DATASET.FOLDER.", "MODEL.BACKBONE.NAME",
    "TRAINER.NAME", "TRAINER.KDPL.TEACHER", "TRAINER.KDPL.CLASS_AGNOSTIC", "TEST.NO_TEST", "TEST.SPLIT",
    "DATALOADER.TEST.",  # exact counts do not depend on it
)  # fmt: skip
OF_STUDENT = {"SIZE": (), "INTERPOLATION": "", "PIXEL_MEAN": [], "PIXEL_STD": []}  # empty: the student's own
CLASS_AGNOSTIC_ONLY = ("TRAINER.KDPL.K_MAX", "TRAINER.KDPL.VOCABULARY")
PREC = ("fp16", one_of(*PRECISIONS))
SETTINGS = {  # key: default and range of what our trainers add to Dassl's
    "DATASET.SUBSAMPLE_CLASSES": ("all", one_of("all", "base", "new")),  # all, or one half of the classes
    "DATASET.TEMPLATE": ("", text()),  # "a photo of a {}." for teacher and zero-shot; empty: the dataset's own
    "DATASET.DRAW": ("", DRAW),  # few-shot draws; empty: CoOp's; 2SFS, or files (see published_draws.py)
    "INPUT.RESIZE": ("", one_of("", "shortest", "squash")),  # shortest crops, squash distorts; empty: the student's
    "TEST.PER_IMAGE_FILE": (False, FLAG),  # write predictions.csv: label and top classes of each image
    "DATASET.FOLDER.NAME": ("", text()),  # name of your dataset (DATASET.NAME Folder); empty: its folder's
    "DATASET.FOLDER.CLASSNAMES": ("", text()),  # file with one name per line; empty: classnames.txt if it exists
    "DATASET.FOLDER.LABELS": ("", text()),  # CSV or JSON: path, label, optional split; empty: labels.csv or .json
    "DATASET.FOLDER.DIVIDE": (False, FLAG),  # divide labelled images without a split, instead of training on all
    "DATASET.FOLDER.SHARES": ((0.5, 0.2, 0.3), several(real(0, 1), 3)),  # train, val, test; other values imply DIVIDE
    "DATASET.FOLDER.SPLIT_SEED": (1, whole(-LARGEST)),  # seed of that division, independent of SEED
    **{f"TRAINER.{m.node}.{key}": known for m in METHODS.values() for key, known in m.keys.items()},
    **{f"TRAINER.{method.node}.PREC": PREC for method in METHODS.values()},  # precision of the student
    "TRAINER.KDPL.TEACHER": ("ViT-L/14", text()),  # as kdpl.load_clip takes it, or prompts:FILE; "A, B"
    "TRAINER.KDPL.TEACHER_SCALE": ("student", one_of("student", "own")),  # logit scale; the paper uses the student's
    "TRAINER.KDPL.PREC": PREC,  # precision of the teacher
    "TRAINER.KDPL.CLASS_AGNOSTIC": (False, FLAG),  # KDPL-CA: train on a vocabulary instead of the class names
    "TRAINER.KDPL.K_MAX": (1000, whole(1)),  # KDPL-CA: classes kept in each batch
    "TRAINER.KDPL.VOCABULARY": ("", text()),  # KDPL-CA: file with one name per line; empty: Open Images
    "TRAINER.KDPL.VIEWS": (0, whole(0)),  # augmentations per image, reused across epochs; 0: always new (as published)
    "TRAINER.KDPL.STEP": ("plain", one_of(*STEPS)),  # training steps; compiled, graph: fewer launches on a GPU
    "TRAINER.KDPL.CACHE_DIR": ("", text()),  # feature cache for frozen towers, shared by all runs; empty: none
    "TRAINER.KDPL.CACHE_PRECISION": ("fp32", one_of("fp32", "fp16")),  # fp16: half the space, rounded features
    "TRAINER.KDPL.CACHE_GB": (MAX_GB, real(above=0)),  # size limit; the least recently used features are removed
}
RANGES = DASSL_RANGES | {key: values for key, (_, values) in SETTINGS.items()}


def extend_cfg(cfg: CfgNode) -> None:
    """Add our settings to Dassl's defaults; keys that a CoOp checkout already declares keep their values."""
    for key, (default, _) in SETTINGS.items():
        path, name = key.rsplit(".", 1)
        reduce(lambda node, part: node.setdefault(part, CfgNode()), path.split("."), cfg).setdefault(name, default)
    unset = get_cfg_default().INPUT  # Dassl's defaults, which cannot be distinguished from values set by a user
    cfg.INPUT.update({key: empty for key, empty in OF_STUDENT.items() if cfg.INPUT[key] == unset[key]})


def method_settings(cfg: CfgNode, method: Method) -> dict[str, Any]:
    """The method's settings under the library's names."""
    node = cfg.TRAINER[method.node]
    return {name: node[setting.key] for name, setting in method.all_settings.items()}


def changes(key: str) -> Changes:
    """What a setting may affect."""
    return next((what for what, starts in CHANGES.items() if key.startswith(starts)), Changes.BOTH)


def learns(trainer: str) -> bool:
    """Whether a trainer learns anything; zero-shot CLIP does not."""
    return trainer not in ZERO_SHOT


def settings_of(config: Mapping[str, Any]) -> dict[str, object]:
    """The settings that results depend on, by dotted key, in the form in which JSON returns them."""
    settings = {key: value for key, value in flat(config).items() if changes(key)}
    return json.loads(json.dumps(settings))  # tuples become lists, as in a file


def of_evaluation(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings that an evaluation depends on; for zero-shot CLIP, without settings of methods.

    Training settings are left out, because the resulting prompts are compared directly.
    """
    learned = learns(settings["TRAINER.NAME"])
    return {
        key: value
        for key, value in settings.items()
        if Changes.EVALUATION in changes(key) and (learned or key == "TRAINER.NAME" or not key.startswith("TRAINER."))
    }


def of_result(trainer: str, config: Mapping[str, Any], class_agnostic: bool) -> dict[str, object]:
    """The settings that distinguish results of one trainer; missing ones count as their defaults."""
    wanted = Changes.TRAINING if learns(trainer) else Changes.EVALUATION
    nodes = (f"TRAINER.{trainer.removesuffix('_KDPL').upper()}.",) + ("TRAINER.KDPL.",) * trainer.endswith("_KDPL")
    left_out = RECORDED_ELSEWHERE + CLASS_AGNOSTIC_ONLY * (not class_agnostic)
    return {
        key: value
        for key, value in (default_settings() | settings_of(config)).items()
        if wanted in changes(key)
        and (key.startswith(nodes) or not key.startswith("TRAINER."))
        and not key.startswith(left_out)
    }


@cache
def default_settings() -> dict[str, object]:
    """The values of settings missing from a configuration, because it was written before they existed."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    return settings_of(cfg)
