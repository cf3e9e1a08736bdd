"""KDPLTrainer, which learns the prompts of one method from a teacher."""

from yacs.config import CfgNode

from kdpl.clip.templates import GENERIC
from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.distillation.agreement import look_at_agreement
from kdpl.distillation.class_selection import keeps_all
from kdpl.distillation.needs import check_needs
from kdpl.distillation.objective import DistillationObjective, Objective
from kdpl.distillation.teacher import build_teacher, describe_teacher
from kdpl.distillation.vocabulary import load_vocabulary
from kdpl.prompts.prompt_file import Description

from .config import method_settings
from .trainer import PromptTrainer


class KDPLTrainer(PromptTrainer):
    """Learns the prompts from a teacher instead of labels (Mistretta et al., ECCV 2024, arXiv:2407.03056)."""

    uses_labels = False

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        kdpl = cfg.TRAINER.KDPL
        check_needs(kdpl.TEACHER, kdpl.TEACHER_SCALE, cfg.MODEL.BACKBONE.NAME, kdpl.CLASS_AGNOSTIC, kdpl.VOCABULARY)
        if kdpl.CLASS_AGNOSTIC:
            self.method.check_class_agnostic(method_settings(cfg, self.method))

    def training_classnames(self) -> list[str]:
        kdpl = self.cfg.TRAINER.KDPL
        return load_vocabulary(kdpl.VOCABULARY) if kdpl.CLASS_AGNOSTIC else self.classnames

    @property
    def dataset_and_template(self) -> tuple[str, str]:
        return ("", GENERIC) if self.cfg.TRAINER.KDPL.CLASS_AGNOSTIC else super().dataset_and_template

    def build_objective(self) -> Objective:
        kdpl = self.cfg.TRAINER.KDPL
        # Not registered with Dassl, because registered models get saved and the teacher never changes.
        self.teacher = build_teacher(
            kdpl.TEACHER, self.model.classnames, self.template, self.cache,
            precision=self.resolve_precision("KDPL"), device=self.device, scale=kdpl.TEACHER_SCALE,
            pixel_mean=self.images.mean, pixel_std=self.images.std, logit_scale=self.model.logit_scale,
        )  # fmt: skip
        self.record.teacher = kdpl.TEACHER
        self.record.weights_sha256["teacher"] = self.teacher.weights_sha256
        max_classes = kdpl.K_MAX if kdpl.CLASS_AGNOSTIC else None
        of_subsets = not keeps_all(max_classes, len(self.model.classnames))
        return DistillationObjective(self.model, self.teacher, max_classes, self.build_regulariser(of_subsets))

    def describe(self, epoch: int) -> Description:
        kdpl = self.cfg.TRAINER.KDPL
        teacher = describe_teacher(kdpl.TEACHER, self.teacher, kdpl.TEACHER_SCALE)
        return super().describe(epoch) | {"teacher": teacher, "class_agnostic": kdpl.CLASS_AGNOSTIC}

    def before_train(self) -> None:
        super().before_train()
        if self.start_epoch == 0:
            with self.record.phase("prepare"):
                self.record.agreement = self.look_at_agreement()

    def look_at_agreement(self) -> dict[str, object] | None:
        """Measure and print the agreement, and whether the teacher is better than the student."""
        parts = self.dm.dataset.train_x, self.dm.dataset.val or ()
        training, validation = ([(item.impath, item.label) for item in part] for part in parts)
        student = ZeroShotClassifier(
            self.student, self.model.classnames, [self.template], precision=self.precision, device=self.device
        )
        return look_at_agreement(
            self.teacher, student, self.test_loader.dataset.transform, training, validation,
            self.model.classnames == self.classnames, self.training.n_views, self.cache, self.cfg.DATASET.ROOT,
        )  # fmt: skip
