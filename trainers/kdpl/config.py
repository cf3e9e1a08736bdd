"""Every setting of the trainers, with its choices and its meaning; those of each method come from its entry."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from dassl.config import get_cfg_default
from yacs.config import CfgNode

from kdpl.methods import METHODS, Method

NO_INFLUENCE = {  # settings without influence on the prompts
    "OUTPUT_DIR",
    "RESUME",
    "VERBOSE",
    "USE_CUDA",
    "DATASET.ROOT",
    "DATALOADER.NUM_WORKERS",
    "TRAIN.PRINT_FREQ",
    "TRAIN.CHECKPOINT_FREQ",
    "TEST.PER_IMAGE_FILE",
}
# Where a CoOp checkout has declared a node already (TRAINER.COOP, TRAINER.COCOOP, ...), its values stay.


def extend_cfg(cfg: CfgNode) -> None:
    """Add to Dassl's defaults what the trainers of this package read; keys that exist already are left alone."""
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
    kdpl.setdefault("TEACHER", "ViT-L/14")  # OpenAI name, "open_clip:<model>/<tag>" or a file; several, separated by
    #                                         commas: their probabilities are averaged
    kdpl.setdefault("PREC", "fp16")  # of the teacher
    kdpl.setdefault("CLASS_AGNOSTIC", False)  # KDPL-CA: train on a vocabulary instead of the class names
    kdpl.setdefault("K_MAX", 1000)  # KDPL-CA: classes kept in each batch
    kdpl.setdefault("VOCABULARY", "")  # KDPL-CA: file with one name per line; empty: the names of Open Images


def method_settings(cfg: CfgNode, method: Method) -> dict[str, Any]:
    """The method's settings by the library's names."""
    node = cfg.TRAINER[method.node]
    return {name: node[setting.key] for name, setting in method.all_settings.items()}


def plain_config(cfg: CfgNode) -> dict[str, Any]:
    """The configuration as nested dictionaries of plain values."""
    return {key: plain_config(value) if isinstance(value, CfgNode) else value for key, value in sorted(cfg.items())}


def flat(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """All values of a nested configuration by dotted key."""
    found = {}
    for key, value in config.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def settings_of(config: Mapping[str, Any]) -> dict[str, object]:
    """The settings of a configuration that prompts depend on, by dotted key, as they look when read from JSON."""
    settings = {key: value for key, value in flat(config).items() if key not in NO_INFLUENCE}
    return json.loads(json.dumps(settings))  # tuples become lists, as in a file


@cache
def default_settings() -> dict[str, object]:
    """What a setting is where a configuration does not have its key, as it was written before there was one."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    return settings_of(cfg)
