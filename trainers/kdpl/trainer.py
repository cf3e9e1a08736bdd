"""PromptTrainer, which learns the prompts of one method from labels."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from dassl.optim import build_lr_scheduler, build_optimizer
from torch import Tensor
from yacs.config import CfgNode

from kdpl.clip.loading import check_clip_name, check_image_size, check_normalized, known_preprocessing, load_clip
from kdpl.clip.precision import Precision, resolve_precision
from kdpl.clip.templates import template_of
from kdpl.distillation.objective import LabelObjective, Objective
from kdpl.distillation.optimization import with_fused_kernels
from kdpl.distillation.regularisers import Regulariser
from kdpl.distillation.resume import FILE_NAME, begun_with, read_resume_state, resume, save_resume_state
from kdpl.distillation.training import Training
from kdpl.fingerprints import fingerprint
from kdpl.images.seeded_loader import describe_views, seeded_loader
from kdpl.methods import Method
from kdpl.prompts import prompt_file
from kdpl.prompts.checkpoints import find_checkpoint, save_checkpoint
from kdpl.prompts.prompted_clip import PromptedCLIP
from kdpl.ranges import check_all
from kdpl.run_record import Visible

from .config import RANGES, SETTINGS, default_settings, flat, method_settings, settings_of
from .dassl_repairs import fill_input_of_others, repair_dassl
from .epoch_log import EpochLog
from .recorded_trainer import RecordedTrainer

repair_dassl()
fill_input_of_others()


class PromptTrainer(RecordedTrainer):
    """Learns the prompts of one method from labels.

    Attributes:
        method: the method's entry.
    """

    method: Method

    @cached_property
    def seed(self) -> int:
        """Seed for order, augmentation and initial values; random if SEED is negative."""
        return self.cfg.SEED if self.cfg.SEED >= 0 else random.SystemRandom().randrange(2**31)

    def check_cfg(self, cfg: CfgNode) -> None:
        """Refuse invalid settings before anything is read or downloaded."""
        check_all({key: value for key, value in flat(cfg).items() if key in SETTINGS}, RANGES, {})
        check_normalized(cfg.INPUT.TRANSFORMS)
        check_clip_name(name := cfg.MODEL.BACKBONE.NAME)
        self.method.check_student(name)
        check_image_size(name, cfg.INPUT.SIZE, known_preprocessing(name))

    def build_data_loader(self) -> None:
        super().build_data_loader()
        cfg, items = self.cfg, self.dm.dataset.train_x
        self.train_loader_x = seeded_loader(
            [item.impath for item in items], self.train_loader_x.dataset.transform,
            cfg.DATALOADER.TRAIN_X.BATCH_SIZE, cfg.DATALOADER.NUM_WORKERS,
            seed=self.seed, pin_memory=self.device.type == "cuda", views=cfg.TRAINER.KDPL.VIEWS,
            facts=[{"label": item.label, "domain": item.domain, "impath": item.impath} for item in items],
        )  # fmt: skip

    def build_model(self) -> None:
        cfg = self.cfg
        print(f"Loading CLIP (backbone: {cfg.MODEL.BACKBONE.NAME})")
        self.student = load_clip(cfg.MODEL.BACKBONE.NAME)
        check_image_size(cfg.MODEL.BACKBONE.NAME, cfg.INPUT.SIZE, self.student.preprocessing)
        self.settings = method_settings(cfg, self.method)
        learner = self.method.build_learner(self.student, self.settings, self.num_classes, self.seed)
        self.precision = self.resolve_precision(self.method.node)
        self.model = PromptedCLIP(self.student, learner, self.classnames, device=self.device, precision=self.precision)
        print("Learned: " + ", ".join(f"{name} {tuple(p.shape)}" for name, p in learner.named_parameters()))
        self.optim = with_fused_kernels(build_optimizer(learner, cfg.OPTIM))
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model(self.method.registered_name, learner, self.optim, self.sched)
        self.record.weights_sha256 = {"student": self.student.weights_sha256}
        self.record.student_fingerprint = self.student.fingerprint

    def resolve_precision(self, node: str) -> Precision:
        """The precision set in a node; "auto" resumes an interrupted run with the precision it started with."""
        key, file = f"TRAINER.{node}.PREC", Path(self.cfg.RESUME or self.cfg.OUTPUT_DIR) / FILE_NAME
        return resolve_precision(begun_with(file, key, self.cfg.TRAINER[node].PREC), self.device, key)

    # Training

    def before_train(self) -> None:
        self.resume_state = self.read_resume_state(self.cfg.RESUME or self.output_dir)
        with self.record.phase("prepare"):
            self.model.set_classnames(self.training_classnames())
            self.training = Training(
                self.build_objective(), self.train_loader_x, self.optim, self.sched, self.max_epoch,
                self.method.build_average(self.settings, self.max_epoch), self.cache, self.cfg.DATASET.ROOT,
                self.cfg.TRAINER.KDPL.STEP,
            )  # fmt: skip
        super().before_train()
        self.record.numerics |= {"precision": self.precision.name, "step": self.cfg.TRAINER.KDPL.STEP}
        self.record.epochs = self.max_epoch
        names = "dataset" if self.model.classnames == self.classnames else "vocabulary"
        self.record.visible = Visible(len(self.dm.dataset.train_x), self.uses_labels, names)

    def training_classnames(self) -> list[str]:
        """The class names used in training."""
        return self.classnames

    def build_objective(self) -> Objective:
        """The training objective."""
        return LabelObjective(self.model, self.build_regulariser())

    def build_regulariser(self, of_subsets: bool = False) -> Regulariser | None:
        texts = self.model.classnames, self.method.template(*self.dataset_and_template)
        computation = {"precision": self.precision, "of_subsets": of_subsets}
        return self.method.build_regulariser(self.model.clip, self.settings, *texts, **computation)

    @property
    def dataset_and_template(self) -> tuple[str, str]:
        """The dataset and the template set by the user, if any, which together determine the hand-written prompt."""
        return self.cfg.DATASET.NAME, self.cfg.DATASET.TEMPLATE

    @property
    def template(self) -> str:
        """The hand-written prompt, used for the teacher's texts."""
        return template_of(*self.dataset_and_template)

    def run_epoch(self) -> None:
        self.set_model_mode("train")
        self.num_batches = len(self.train_loader_x)
        print_every = self.cfg.TRAIN.PRINT_FREQ if self.cfg.TRAIN.PRINT_FREQ <= self.num_batches else 1
        with self.record.phase("train"):
            self.training.run_epoch(EpochLog(self, print_every).report, print_every, self.forward_backward)
            self.update_lr()

    def forward_backward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One training step; returned values stay on the device."""
        return self.training.step(batch)

    def model_backward_and_update(self, loss: Tensor, names: Sequence[str] | None = None) -> None:
        self.training.descend(loss)

    def after_epoch(self) -> None:
        self.training.finish_epoch()
        super().after_epoch()
        record, file = self.record, Path(self.output_dir) / FILE_NAME
        extra = {"best_result": float(self.best_result), "phases": record.phases, "agreement": record.agreement or {}}
        save_resume_state(file, self.training, settings_of(self.cfg), extra)

    # Files

    def read_resume_state(self, directory: str) -> dict[str, Any] | None:
        """The state of an interrupted run in ``directory``, or None."""
        file = Path(directory) / FILE_NAME
        if file.exists():
            return read_resume_state(file, settings_of(self.cfg), default_settings(), settings_of)
        if self.cfg.RESUME:
            raise FileNotFoundError(
                f"{file} does not exist. --resume must be the output folder of a run that has finished at least one "
                "epoch; without it, a run resumes from its own --output-dir."
            )
        return None

    def resume_model_if_exist(self, directory: str) -> int:
        """Restore the state of an interrupted run in ``directory``; returns the next epoch, counted from 0."""
        state = self.resume_state
        if state is None:
            return 0
        resume(Path(directory) / FILE_NAME, self.training, state, "best_result", "phases")
        self.best_result = state["best_result"]
        self.record.phases |= {name: phase for name, phase in state["phases"].items() if name == "train"}
        if agreement := state.get("agreement"):  # missing in files from earlier versions
            self.record.agreement = agreement
        print(f"Resuming from {Path(directory) / FILE_NAME} after epoch {state['epoch']}")
        return state["epoch"]

    def describe(self, epoch: int) -> prompt_file.Description:
        """The description for files of the prompts after ``epoch`` epochs."""
        cfg, names = self.cfg, self.model.classnames
        return prompt_file.describe_prompts(
            self.method.name, self.settings, self.model.prompt_learner, self.student,
            trainer=cfg.TRAINER.NAME, labels_used=self.uses_labels, template=self.template,
            # A vocabulary has tens of thousands of names; its hash identifies it.
            classnames=names if names == self.classnames else None, classnames_sha256=fingerprint(names),
            dataset={"name": self.dataset_name, "subsample": cfg.DATASET.SUBSAMPLE_CLASSES},
            shots=cfg.DATASET.NUM_SHOTS, seed=cfg.SEED, epoch=epoch, epochs=self.max_epoch,
            accuracies=self.record.accuracies, **describe_views(cfg.TRAINER.KDPL.VIEWS),
        )  # fmt: skip

    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result: float | None = None, model_name: str = ""
    ) -> None:
        """Write the prompts to ``<directory>/<registered name>/model.pth.tar-<epoch>``, counted from 1."""
        for name in ["model-best.pth.tar"] * is_best + [model_name or f"model.pth.tar-{epoch + 1}"]:
            path = f"{directory}/{self.method.registered_name}/{name}"
            settings = {"val_result": val_result}
            save_checkpoint(path, self.model.prompt_learner, self.describe(epoch + 1), settings)
            print(f"Checkpoint saved to {path}")

    def save_final_prompts(self) -> None:
        path = Path(self.output_dir) / prompt_file.FILE_NAME
        prompt_file.save_prompt_file(path, self.model.prompt_learner, self.describe(self.max_epoch))
        print(f"Prompt file saved to {path}")

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load the prompts of a finished run, ours or published; without an epoch, the best, or else the latest.

        Args:
            directory: output folder of the run, or a prompt file.
        """
        if not directory:
            print("No --model-dir: evaluating the initial prompts")
            return
        path = Path(directory)
        if not path.is_file():
            path = find_checkpoint(directory, self.method.registered_name, epoch)
        prompt_file.load_prompts(path, self.method.name, self.model.prompt_learner, self.student)
        print(f"Prompts loaded from {path}")

    # Evaluation, always on the dataset's own class names

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        with self.precision.autocast(), self.model.classes(self.classnames), self.model.fixed_prompts():
            yield

    def model_inference(self, image: Tensor) -> Tensor:
        return self.model(image)
