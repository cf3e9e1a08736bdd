"""A distillation as plain values: everything learned prompts depend on, except the images."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..caching.features import FeatureCache
from ..clip.loaded import LoadedCLIP
from ..clip.loading import check_clip_name
from ..clip.precision import check_precision, resolve_precision
from ..clip.templates import GENERIC, check_template
from ..fingerprints import fingerprint
from ..images.seeded_loader import check_views, describe_views
from ..methods import Method
from ..names import check_distinct
from ..prompts.prompt_file import Description, describe_prompts
from ..prompts.prompted_clip import PromptedCLIP
from ..ranges import check_all, one_of, real, whole
from .class_selection import keeps_all
from .objective import DistillationObjective
from .optimization import OPTIMIZERS, CosineWithWarmup, build_optimizer, with_fused_kernels
from .teacher import STUDENT_SCALE, build_teacher, check_teacher, describe_teacher
from .training import Training

RANGES = {
    "epochs": whole(1, 100_000),
    "batch_size": whole(1, 65_536),
    "max_classes": whole(1),
    "lr": real(above=0, most=1000),
    "optimizer": one_of(*OPTIMIZERS),
    "momentum": real(0, 1),
    "weight_decay": real(0),
    "warmup_epochs": whole(0, 100_000),
    "warmup_lr": real(0),
    "seed": whole(-(2**63), 2**63 - 1),
}


@dataclass(frozen=True)
class Recipe:
    """The settings of a distillation, see :func:`kdpl.distill`; ``classnames`` is None for class-agnostic training.

    ``root`` is the folder to which the paths of cached images are relative.
    """

    method: Method
    settings: dict[str, Any]
    student: str
    teacher: str
    classnames: list[str] | None
    vocabulary: list[str]
    max_classes: int
    template: str
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    momentum: float
    weight_decay: float
    warmup_epochs: int
    warmup_lr: float
    seed: int
    precision: str
    teacher_precision: str
    teacher_scale: str = STUDENT_SCALE
    views: int = 0
    cache: FeatureCache | None = None
    root: str | None = None

    def __post_init__(self):
        """Refuse invalid settings.

        Raises:
            ValueError: naming the first invalid value.
        """
        check_clip_name(self.student)
        self.method.check_student(self.student)
        check_teacher(self.teacher, self.teacher_scale)
        check_precision(self.precision)
        check_precision(self.teacher_precision, "teacher_precision")
        check_template(self.template, "template")
        check_views(self.views)
        check_all({name: getattr(self, name) for name in RANGES}, RANGES, {})
        if self.classnames is not None and len(set(self.classnames)) < 2:
            raise ValueError(
                f"classnames are {self.classnames}; at least two different names are needed. Leave them out to train "
                "without class names (class-agnostic)."
            )
        check_distinct(dict.fromkeys(self.classnames or ()), "the list of classnames")
        if self.class_agnostic:
            self.method.check_class_agnostic(self.settings)

    @property
    def class_agnostic(self) -> bool:
        return self.classnames is None

    @property
    def names(self) -> list[str]:
        """The classes of the training: class names or vocabulary."""
        return self.vocabulary if self.classnames is None else self.classnames

    @property
    def teacher_template(self) -> str:
        return GENERIC if self.class_agnostic else self.template

    def depends_on(self, clip: LoadedCLIP, images: str) -> dict[str, Any]:
        """Everything the prompts depend on, as plain values.

        Args:
            clip: the student.
            images: identity of the images and their augmentation.
        """
        excluded = ("method", "classnames", "vocabulary", "teacher_scale", "views", "cache", "root")
        facts = {key: value for key, value in vars(self).items() if key not in excluded}
        if self.teacher_scale != STUDENT_SCALE:
            facts["teacher_scale"] = self.teacher_scale
        if self.views:  # left out otherwise, to match prompts of earlier versions
            facts["views"] = self.views
        if self.cache is not None and self.cache.precision != "fp32":
            facts["cached_features"] = self.cache.precision
        return facts | {
            "method": self.method.name,
            "student": clip.fingerprint,
            "names": fingerprint(self.names),
            "class_agnostic": self.class_agnostic,
            "images": images,
        }

    def build(self, clip: LoadedCLIP, loader: DataLoader, device: torch.device) -> Training:
        """Set up training of new prompts for a student."""
        learner = self.method.build_learner(clip, self.settings, len(self.names), self.seed)
        model = PromptedCLIP(clip, learner, self.names, device=device, precision=self.precision)
        teacher = build_teacher(
            self.teacher, self.names, self.teacher_template, device=device,
            precision=resolve_precision(self.teacher_precision, device, "teacher_precision"),
            cache=self.cache, pixel_mean=clip.preprocessing.mean, pixel_std=clip.preprocessing.std,
            logit_scale=model.logit_scale, scale=self.teacher_scale,
        )  # fmt: skip
        max_classes = self.max_classes if self.class_agnostic else None
        regulariser = self.method.build_regulariser(
            model.clip, self.settings, self.names, self.teacher_template, precision=model.precision,
            of_subsets=not keeps_all(max_classes, len(self.names)),
        )  # fmt: skip
        optimizer = with_fused_kernels(
            build_optimizer(learner.parameters(), self.optimizer, self.lr, self.momentum, self.weight_decay)
        )
        return Training(
            DistillationObjective(model, teacher, max_classes, regulariser),
            loader,
            optimizer,
            CosineWithWarmup(optimizer, self.epochs, self.warmup_epochs, self.warmup_lr),
            self.epochs,
            self.method.build_average(self.settings, self.epochs),
            self.cache,
            self.root,
        )

    def describe(self, clip: LoadedCLIP, training: Training, depends_on: dict[str, Any]) -> Description:
        """The description stored with the finished prompts."""
        return describe_prompts(
            self.method.name, self.settings, training.model.prompt_learner, clip,
            labels_used=False, class_agnostic=self.class_agnostic, template=self.teacher_template,
            teacher=describe_teacher(self.teacher, training.objective.teacher, self.teacher_scale),
            classnames=self.classnames, classnames_sha256=fingerprint(self.names),
            seed=self.seed, epoch=training.epoch, epochs=self.epochs, depends_on=depends_on,
            **describe_views(self.views),
        )  # fmt: skip
