"""One golden case, run through its trainer."""

from pathlib import Path
from typing import Any

import torch

from kdpl.verification.errors import Errors
from kdpl.verification.golden_case import Subject
from kdpl.verification.golden_case import run_case as run
from kdpl.verification.golden_file import Inputs
from trainers.kdpl.trainer import PromptTrainer

from .golden_trainer import build_golden_trainer


def run_case(case: dict, inputs: Inputs, folder: Path) -> Errors:
    """Run one case and compare every number.

    Args:
        folder: an empty folder for checkpoints.
    """
    errors = Errors()
    trainer, unknown = build_golden_trainer(case, inputs, folder)
    errors.not_compared += unknown
    if isinstance(trainer, PromptTrainer):
        run(case, inputs, _subject(trainer, folder), errors)
    else:
        _compare_zero_shot(errors, trainer, case, inputs)
    return errors


def _subject(trainer: PromptTrainer, folder: Path) -> Subject:
    trainer.max_epoch = trainer.cfg.OPTIM.MAX_EPOCH
    trainer.before_train()
    trainer.epoch = trainer.batch_idx = 0

    def load(state: dict[str, torch.Tensor]) -> None:
        """Load tensors through a checkpoint like the published ones."""
        checkpoint = folder / "published" / trainer.method.registered_name / "model.pth.tar-1"
        checkpoint.parent.mkdir(parents=True)
        torch.save({"state_dict": state, "epoch": 1}, checkpoint)
        trainer.load_model(str(folder / "published"), epoch=1)

    def end_epoch() -> None:
        trainer.update_lr()
        trainer.after_epoch()
        trainer.epoch += 1

    return Subject(
        training=trainer.training, method=trainer.method, settings=trainer.settings, student=trainer.student,
        template=trainer.template, classnames=trainer.classnames, training_classnames=trainer.training_classnames(),
        load=load, step=trainer.forward_backward, end_epoch=end_epoch,
    )  # fmt: skip


@torch.no_grad()
def _compare_zero_shot(errors: Errors, trainer: Any, case: dict, inputs: Inputs) -> None:
    if "eval_logits_before" in case:
        logits = trainer.model_inference(inputs.images("eval", len(case["eval_logits_before"])))
        errors.compare("logits", "eval_logits_before", logits, case["eval_logits_before"])
    golden = case.get("text_features", case["features_before"].get("text"))
    if isinstance(golden, dict):
        errors.compare_described("features", "text features", trainer.model.text_features, golden)
    elif golden:
        errors.compare("features", "text features", trainer.model.text_features, golden)
