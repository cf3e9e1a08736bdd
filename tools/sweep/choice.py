"""Choosing the student, teacher and configuration of an experiment where none is given, and naming its folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY

import datasets  # noqa: F401  registers them
import trainers  # noqa: F401  registers them
from kdpl.distillation.teacher import check_teacher
from kdpl.methods import METHODS
from kdpl.names import HUB_PREFIX, OPEN_CLIP_PREFIX, check_known
from trainers.kdpl.configuration import build_cfg
from trainers.kdpl.kdpl_trainer import KDPLTrainer
from trainers.kdpl.trainer import PromptTrainer

DEMO = "demo"
DEMO_STUDENT, DEMO_TEACHER = "demo:student", "demo:teacher"
STUDENT = "ViT-B/32"
STUDENTS = {  # name: prefix of its configuration files
    DEMO_STUDENT: DEMO, "ViT-B/32": "vit_b32", "ViT-B/16": "vit_b16", "RN50": "rn50", "RN101": "rn50",
    "open_clip:ViT-B-16/laion2b_s34b_b88k": "laion_vit_b16", "open_clip:ViT-L-14/laion2b_s32b_b82k": "laion_vit_l14",
    "open_clip:ViT-B-16-quickgelu/dfn2b": "dfn_vit_b16", "open_clip:ViT-L-14-quickgelu/dfn2b": "dfn_vit_l14",
    "open_clip:ViT-B-16-quickgelu/metaclip_fullcc": "metaclip_vit_b16",
    "open_clip:ViT-L-14-quickgelu/metaclip_fullcc": "metaclip_vit_l14",
    "open_clip:MobileCLIP2-S0/dfndr2b": "mobileclip2_s0", "open_clip:MobileCLIP2-S2/dfndr2b": "mobileclip2_s2",
}  # fmt: skip
OF_OTHER_LIBRARIES = "laion_vit_b16"  # for unlisted students of LIBRARIES: it takes the student's preprocessing
LIBRARIES = (OPEN_CLIP_PREFIX, HUB_PREFIX)
CONFIGS = Path("configs")


@dataclass(frozen=True)
class Choice:
    """What to train.

    Attributes:
        student, teacher: names of CLIPs.
        cfg: a file in configs/trainers/<trainer>, without its ending.
        folder: the name for output folders, which is ``cfg`` and whatever differs from that file.
        pairs: KEY VALUE pairs for the trainer.
    """

    student: str
    teacher: str
    cfg: str
    folder: str
    pairs: tuple[str, ...]


def choose(
    dataset: str,
    trainer: str,
    cfg: str | None = None,
    student: str | None = None,
    teacher: str | None = None,
    class_agnostic: bool = False,
    epochs: str | None = None,
    transfers: bool = False,
) -> Choice:
    """Fill in what is not given, and check everything without loading anything.

    The student defaults to that of ``cfg`` or, without one, to the demo's for drawn datasets and ViT-B/32 for others.

    Args:
        transfers: the prompts will also be tested on other datasets, for which some methods train differently.

    Raises:
        ValueError, FileNotFoundError: if a dataset, trainer, configuration or CLIP does not exist, or if they do not
            fit together.
    """
    check_known(trainer, TRAINER_REGISTRY.registered_names(), "trainer", "TRAINER")
    trainer_class = TRAINER_REGISTRY.get(trainer)
    if not issubclass(trainer_class, PromptTrainer):
        raise ValueError(f"{trainer} has nothing to train. Name a method, such as CoOp_KDPL.")
    distils = issubclass(trainer_class, KDPLTrainer)
    if class_agnostic and not distils:
        raise ValueError(f"CLASS_AGNOSTIC is set, but {trainer} learns from labels, which need class names. Unset it.")
    if not cfg:
        student = student or (DEMO_STUDENT if dataset.startswith("shapes") else STUDENT)
        cfg = default_cfg(trainer, trainer_class.method.name, student, transfers)
    files = [str(CONFIGS / "datasets" / f"{dataset}.yaml"), str(CONFIGS / "trainers" / trainer / f"{cfg}.yaml")]
    published = build_cfg(files, {"TRAINER.NAME": trainer})
    student = student or published.MODEL.BACKBONE.NAME
    own_teacher = DEMO_TEACHER if student == DEMO_STUDENT else published.TRAINER.KDPL.TEACHER
    teacher = teacher or own_teacher

    pairs = ["OPTIM.MAX_EPOCH", epochs] if epochs else []
    pairs += ["TRAINER.KDPL.TEACHER", teacher, "TRAINER.KDPL.CLASS_AGNOSTIC", str(class_agnostic)] if distils else []
    asked = build_cfg(files, {"TRAINER.NAME": trainer, "MODEL.BACKBONE.NAME": student}, pairs)
    check_known(asked.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset", "DATASET.NAME")
    trainer_class.check_cfg(object.__new__(trainer_class), asked)
    check_teacher(teacher)  # check_cfg of supervised trainers ignores it

    names = [cfg]
    names += [f"student_{slug(student)}"] if student != published.MODEL.BACKBONE.NAME else []
    names += [f"teacher_{slug(teacher)}"] if distils and teacher != own_teacher else []
    names += ["class_agnostic"] if class_agnostic else []
    names += [f"epochs_{epochs}"] if epochs else []
    return Choice(student, teacher, cfg, "__".join(names), tuple(pairs))


def default_cfg(trainer: str, method: str, student: str, transfers: bool = False) -> str:
    """The configuration of a method for a student; that of ViT-B/32 if the student has none of its own."""
    stem = STUDENTS.get(student) or (OF_OTHER_LIBRARIES if student.startswith(LIBRARIES) else "vit_b32")
    entry = METHODS[method]
    name = transfers and entry.config_for_transfer or entry.config
    cfg = DEMO if stem == DEMO else name.format(stem)
    return cfg if (CONFIGS / "trainers" / trainer / f"{cfg}.yaml").is_file() else name.format("vit_b32")


def slug(name: str) -> str:
    """A name as part of a path: ViT-L-14 for ViT-L/14."""
    return re.sub(r"[^\w.+]", "-", name)
