"""The trainers of prompts: PromptTrainer learns from labels, KDPLTrainer from a teacher."""

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch.nn.functional as F
from dassl.data.transforms import build_transform
from dassl.optim import build_lr_scheduler, build_optimizer
from torch import Tensor
from yacs.config import CfgNode

from .agreement import measure_agreement, report_agreement
from .checkpoints import find_checkpoint, load_prompts, save_prompts
from .class_selection import most_likely_classes
from .clip_loading import check_clip_name, load_clip
from .dassl_repairs import mend_dassl
from .data_loading import seeded_loader
from .losses import symmetric_kl
from .precision import check_precision, grad_scaler, resolve_precision
from .prompt_learners import PromptLearner
from .recorded_trainer import RecordedTrainer
from .resume import restore_resume_state, save_resume_state
from .student import PromptedCLIP, StudentOutput, check_image_size, check_student
from .teacher import ZeroShotClassifier, build_teacher, teacher_names
from .templates import GENERIC, template_of
from .training_loop import run_epoch
from .vocabulary import load_vocabulary

mend_dassl()


class PromptTrainer(RecordedTrainer):
    """Learns the prompts of one method from labels; the methods are in :mod:`methods`.

    Attributes:
        method: name of the base method, such as "CoOp".
        node: its node below cfg.TRAINER, such as "COOP".
        registered_name: the folder of its checkpoints, as in the published code.
        visual_prompts: whether the image tower gets prompts.
        uses_labels: whether training reads labels.
    """

    method: str
    node: str
    registered_name: str = "prompt_learner"
    visual_prompts: bool = False
    uses_labels: bool = True

    def build_prompt_learner(self) -> PromptLearner:
        """The method's prompt learner for ``self.student``."""
        raise NotImplementedError

    # Building

    def check_cfg(self, cfg: CfgNode) -> None:
        """Refuse what cannot work before anything is read or fetched."""
        check_clip_name(cfg.MODEL.BACKBONE.NAME)
        check_student(cfg.MODEL.BACKBONE.NAME, self.method, self.visual_prompts)
        check_image_size(cfg.MODEL.BACKBONE.NAME, cfg.INPUT.SIZE)
        check_precision(cfg.TRAINER[self.node].PREC, f"TRAINER.{self.node}.PREC")

    def build_data_loader(self) -> None:
        super().build_data_loader()
        cfg = self.cfg
        self.train_loader_x = seeded_loader(
            self.dm.dataset.train_x,
            build_transform(cfg, is_train=True),
            cfg.DATALOADER.TRAIN_X.BATCH_SIZE,
            cfg.DATALOADER.NUM_WORKERS,
            seed=cfg.SEED if cfg.SEED >= 0 else random.SystemRandom().randrange(2**31),
            pin_memory=self.device.type == "cuda",
        )

    def build_model(self) -> None:
        cfg = self.cfg
        print(f"Loading CLIP (backbone: {cfg.MODEL.BACKBONE.NAME})")
        self.student = load_clip(cfg.MODEL.BACKBONE.NAME)
        check_image_size(cfg.MODEL.BACKBONE.NAME, cfg.INPUT.SIZE, self.student.resolution)
        self.precision = resolve_precision(cfg.TRAINER[self.node].PREC, self.device, f"TRAINER.{self.node}.PREC")
        learner = self.build_prompt_learner()
        clip = self.precision.cast_frozen(self.student.model)
        self.model = PromptedCLIP(clip, learner, self.classnames, self.student.tokenize).to(self.device)
        print("Learned: " + ", ".join(f"{name} {tuple(p.shape)}" for name, p in learner.named_parameters()))
        self.optim = build_optimizer(learner, cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model(self.registered_name, learner, self.optim, self.sched)
        self.scaler = grad_scaler() if self.precision.needs_loss_scaling else None
        self.record.facts["weights_sha256"] = {"student": self.student.weights_sha256}

    # Training

    def before_train(self) -> None:
        super().before_train()
        with self.record.phase("prepare"):
            self.model.set_classnames(self.training_classnames())
        self.record.facts |= {
            "epochs": self.max_epoch,
            "visible": {
                "train_images": len(self.dm.dataset.train_x),
                "labels_used": self.uses_labels,
                "classnames": "dataset" if self.model.classnames == self.classnames else "vocabulary",
            },
        }

    def training_classnames(self) -> list[str]:
        """The names that training tells apart."""
        return self.classnames

    def run_epoch(self) -> None:
        self.set_model_mode("train")
        with self.record.phase("train"):
            run_epoch(self)

    def forward_backward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        image = batch["img"].to(self.device, non_blocking=True)
        label = batch["label"].to(self.device, non_blocking=True)
        with self.precision.autocast():
            output = self.model.encode(image)
            terms = {"loss_labels": F.cross_entropy(output.logits, label)}
            terms |= self.regularisers(image, output, class_indices=None)
        accuracy = 100.0 * (output.logits.argmax(dim=-1) == label).float().mean()  # percent
        return self.descend(terms) | {"acc": accuracy}

    def regularisers(self, image: Tensor, output: StudentOutput, class_indices: Tensor | None) -> dict[str, Tensor]:
        """Terms that a method adds to the loss; ``class_indices`` are the classes in play, (k,), None for all."""
        return {}

    def descend(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """One step down the sum of the terms; returns it with them, still on the device."""
        loss = sum(terms.values())
        self.model_backward_and_update(loss)
        return {"loss": loss} if len(terms) == 1 else {"loss": loss, **terms}

    def model_backward_and_update(self, loss: Tensor, names: Sequence[str] | None = None) -> None:
        self.optim.zero_grad(set_to_none=True)
        if self.scaler is None:
            loss.backward()
            self.optim.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optim)
            self.scaler.update()

    def after_epoch(self) -> None:
        super().after_epoch()
        save_resume_state(self)

    # Files

    def method_state(self) -> dict[str, Any]:
        """What a method keeps over epochs besides its prompts; tensors and plain values."""
        return {}

    def load_method_state(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`method_state` gave."""

    def resume_model_if_exist(self, directory: str) -> int:
        """The epoch to go on with, from 0, after taking up what an interrupted run left in ``directory``."""
        return restore_resume_state(self, directory)

    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result: float | None = None, model_name: str = ""
    ) -> None:
        """Write the prompts to ``<directory>/<registered name>/model.pth.tar-<epoch>``, counted from 1."""
        for name in ["model-best.pth.tar"] * is_best + [model_name or f"model.pth.tar-{epoch + 1}"]:
            path = f"{directory}/{self.registered_name}/{name}"
            save_prompts(path, self.method, epoch + 1, self.model.prompt_learner, {"val_result": val_result})
            print(f"Prompts saved to {path}")

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Take the prompts of a finished run, ours or a published one; without an epoch the best, else the latest."""
        if not directory:
            print("No --model-dir: the prompts are those that training would start from")
            return
        path = find_checkpoint(directory, self.registered_name, epoch)
        load_prompts(path, self.method, self.model.prompt_learner)
        print(f"Prompts loaded from {path}")

    # Evaluation, always on the data set's own class names

    def evaluation(self) -> AbstractContextManager:
        stack = ExitStack()
        stack.enter_context(self.precision.autocast())
        stack.enter_context(self.model.classes(self.classnames))
        stack.enter_context(self.model.fixed_prompts())
        return stack

    def model_inference(self, image: Tensor) -> Tensor:
        return self.model(image)


class KDPLTrainer(PromptTrainer):
    """Learns the prompts from a teacher instead of labels (Mistretta et al., ECCV 2024, arXiv:2407.03056)."""

    uses_labels = False

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        kdpl = cfg.TRAINER.KDPL
        for name in teacher_names(kdpl.TEACHER):
            check_clip_name(name)
        check_precision(kdpl.PREC, "TRAINER.KDPL.PREC")
        if kdpl.K_MAX < 1:
            raise ValueError(f"TRAINER.KDPL.K_MAX is {kdpl.K_MAX}; at least one class must be kept (published: 1000).")

    def training_classnames(self) -> list[str]:
        kdpl = self.cfg.TRAINER.KDPL
        return load_vocabulary(kdpl.VOCABULARY) if kdpl.CLASS_AGNOSTIC else self.classnames

    def before_train(self) -> None:
        super().before_train()
        cfg, kdpl = self.cfg, self.cfg.TRAINER.KDPL
        with self.record.phase("prepare"):
            # Not registered with Dassl: what is registered gets saved, and the teacher never changes.
            self.teacher, teacher_sha256 = build_teacher(
                kdpl.TEACHER,
                self.model.classnames,
                self.template,
                precision=resolve_precision(kdpl.PREC, self.device, "TRAINER.KDPL.PREC"),
                device=self.device,
                pixel_mean=cfg.INPUT.PIXEL_MEAN,
                pixel_std=cfg.INPUT.PIXEL_STD,
                logit_scale=float(self.model.logit_scale),
            )
            if self.start_epoch == 0:
                self.record.facts["agreement"] = self.look_at_agreement()
        self.max_classes = kdpl.K_MAX if kdpl.CLASS_AGNOSTIC else len(self.model.classnames)
        self.record.facts["teacher"] = kdpl.TEACHER
        self.record.facts["weights_sha256"]["teacher"] = teacher_sha256

    @property
    def template(self) -> str:
        """The sentence of the teacher's texts."""
        cfg = self.cfg
        return GENERIC if cfg.TRAINER.KDPL.CLASS_AGNOSTIC else template_of(cfg.DATASET.NAME, cfg.DATASET.TEMPLATE)

    def look_at_agreement(self) -> dict[str, Any]:
        """Measure and print whether the teacher has something to teach."""
        zero_shot_student = ZeroShotClassifier(
            self.student, self.model.classnames, [self.template], precision=self.precision, device=self.device
        )
        dataset = self.dm.dataset
        part, labelled = "validation", [item for item in dataset.val or () if item.label >= 0]
        if not labelled:  # the accuracies are told to the user, nothing more
            part, labelled = "training", [item for item in dataset.train_x if item.label >= 0]
        if self.model.classnames != self.classnames:
            labelled = []
        found = measure_agreement(self.teacher, zero_shot_student, dataset.train_x, labelled, self.cfg)
        report_agreement(found, part)
        return found

    def forward_backward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        image = batch["img"].to(self.device, non_blocking=True)  # labels are never read
        teacher_logits = self.teacher(image)  # (batch, n_cls)
        class_indices = most_likely_classes(teacher_logits, self.max_classes)  # (k,)
        with self.precision.autocast():
            output = self.model.encode(image, class_indices)
            terms = {"loss_teacher": symmetric_kl(output.logits, teacher_logits[:, class_indices])}
            terms |= self.regularisers(image, output, class_indices)
        return self.descend(terms)
