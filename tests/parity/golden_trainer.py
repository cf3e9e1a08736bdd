"""The real trainer of a golden case, on generated CLIPs and without a dataset."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

import trainers  # noqa: F401
from kdpl.clip.towers import OPENAI_MEAN, OPENAI_STD
from kdpl.methods import METHODS
from kdpl.settings import flat
from kdpl.verification.golden_file import Inputs
from trainers.kdpl.config import extend_cfg
from trainers.kdpl.configuration import get_node

ROOT = Path(__file__).parents[2]


def build_golden_trainer(case: dict, inputs: Inputs, folder: Path) -> tuple[Any, list[str]]:
    """The trainer of a case, and the keys among the case's settings that this repository does not have."""
    golden = inputs.golden
    student, teacher = case["arch"], case.get("teacher_arch", "vit_t")
    cfg = get_cfg_default()
    extend_cfg(cfg)
    method = case["trainer"].removesuffix("_KDPL")
    if method in METHODS:
        entry = METHODS[method]
        cfg.merge_from_file(_config_file(case["trainer"], entry.config.format("vit_b32")))
        if "ctx" in case["learnable"]:  # for cases that give the number of vectors only by their shape
            cfg.TRAINER[entry.node].N_CTX = case["learnable"]["ctx"]["shape"][-2]
    cfg.TRAINER.KDPL.K_MAX = case.get("k_max", golden.get("k_max", cfg.TRAINER.KDPL.K_MAX))
    cfg.TRAINER.KDPL.CLASS_AGNOSTIC = case["class_agnostic"]
    unknown = merge_opts(cfg, case["opts"])

    for node in [*(entry.node for entry in METHODS.values()), "KDPL"]:
        cfg.TRAINER[node].PREC = "fp32"
    cfg.MODEL.BACKBONE.NAME = str(inputs.clip_file("student", student, fingerprinted=True))
    cfg.TRAINER.KDPL.TEACHER = str(inputs.clip_file("teacher", teacher, fingerprinted=teacher != student))
    cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD = OPENAI_MEAN, OPENAI_STD  # the generated images are already normalised
    cfg.INPUT.SIZE = (inputs.resolution,) * 2
    cfg.USE_CUDA, cfg.SEED, cfg.OUTPUT_DIR = False, 1, str(folder / "out")
    cfg.DATASET.NAME, cfg.TRAINER.NAME = case["dataset"], case["trainer"]
    cfg.freeze()

    classnames = golden["classnames"]
    vocabulary = case.get("vocabulary", golden.get("vocabulary"))

    class GoldenTrainer(TRAINER_REGISTRY.get(case["trainer"])):
        def build_data_loader(self) -> None:
            self.dm = SimpleNamespace(dataset=SimpleNamespace(train_x=[], classnames=classnames))
            self.num_classes, self.lab2cname = len(classnames), dict(enumerate(classnames))
            self.train_loader_x = self.val_loader = self.test_loader = None

        def look_at_agreement(self) -> None:
            """Do nothing, as there are no image files."""

        def training_classnames(self) -> list[str]:
            return vocabulary if cfg.TRAINER.KDPL.CLASS_AGNOSTIC else classnames

    return GoldenTrainer(cfg), unknown


def merge_opts(cfg: CfgNode, opts: list) -> list[str]:
    """Merge KEY, VALUE, KEY, VALUE, ... without distinguishing int from float; returns the unknown keys."""
    known, unknown = set(flat(cfg)), []
    for key, value in zip(opts[::2], opts[1::2], strict=True):
        if key not in known:
            unknown.append(key)
            continue
        path, _, name = key.rpartition(".")
        node = get_node(cfg, path)
        kind = type(node[name])
        if isinstance(value, str) and kind is not str:
            cfg.merge_from_list([key, value])
        elif kind is str:
            node[name] = str(value or "")
        else:
            node[name] = kind(value) if kind in (bool, tuple) else value
    return unknown


def _config_file(trainer: str, name: str) -> Path:
    """The shipped configuration of a trainer; supervised methods without their own use that of their KDPL variant."""
    method = trainer.removesuffix("_KDPL")
    candidates = [ROOT / "configs" / "trainers" / folder / f"{name}.yaml" for folder in (trainer, f"{method}_KDPL")]
    return next(file for file in candidates if file.is_file())
