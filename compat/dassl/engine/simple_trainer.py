"""A trainer with data, an evaluator, checkpoints and TensorBoard scalars, all set up from the configuration."""

import datetime
import os
import time

import torch
from dassl.data import DataManager
from dassl.evaluation import build_evaluator
from tqdm import tqdm
from yacs.config import CfgNode

from .trainer_base import TrainerBase


class SimpleTrainer(TrainerBase):
    """Builds loaders, model and evaluator on construction; trains, resumes, saves and tests.

    A subclass overrides ``build_model`` and ``forward_backward``, and other methods as needed.

    Attributes: ``cfg``, ``device``, ``output_dir``, ``start_epoch``, ``epoch``, ``max_epoch``, ``best_result``,
    ``evaluator`` and what ``build_data_loader`` sets.
    """

    def __init__(self, cfg: CfgNode):
        super().__init__()
        self.check_cfg(cfg)
        self.cfg = cfg
        self.device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
        self.start_epoch = self.epoch = 0
        self.max_epoch = cfg.OPTIM.MAX_EPOCH
        self.output_dir = cfg.OUTPUT_DIR
        self.best_result = -float("inf")
        self.build_data_loader()
        self.build_model()
        self.evaluator = build_evaluator(cfg, lab2cname=self.lab2cname)

    def check_cfg(self, cfg: CfgNode) -> None:
        """Reject settings that the trainer does not support; called before anything is built."""

    def build_data_loader(self) -> None:
        """Set ``train_loader_x``, ``train_loader_u``, ``val_loader``, ``test_loader``, ``num_classes``,
        ``num_source_domains``, ``lab2cname`` and ``dm``."""
        dm = self.dm = DataManager(self.cfg)
        self.train_loader_x = dm.train_loader_x
        self.train_loader_u = dm.train_loader_u
        self.val_loader = dm.val_loader
        self.test_loader = dm.test_loader
        self.num_classes = dm.num_classes
        self.num_source_domains = dm.num_source_domains
        self.lab2cname = dm.lab2cname

    def build_model(self) -> None:
        """Build and register the models."""
        raise NotImplementedError(
            f"{type(self).__name__} has no build_model, and the backbones of Dassl's default model "
            "(MODEL.BACKBONE) are not part of this engine; override build_model, or install Dassl"
        )

    def train(self) -> None:
        super().train(self.start_epoch, self.max_epoch)

    def before_train(self) -> None:
        """Resume from ``RESUME`` or from the output folder, open the event file, start the clock.

        Raises:
            FileNotFoundError: if ``RESUME`` is set and contains no checkpoint.
        """
        self.start_epoch = self.resume_model_if_exist(self.cfg.RESUME or self.output_dir)
        if self.cfg.RESUME and self.start_epoch == 0:
            raise FileNotFoundError(
                f"nothing to resume from in {self.cfg.RESUME!r} (RESUME); set it to the output folder of an earlier "
                "run, or leave it empty to resume from OUTPUT_DIR"
            )
        self.init_writer(os.path.join(self.output_dir, "tensorboard"))
        self.time_start = time.time()

    def after_train(self) -> None:
        """Test the last or the best model and print the elapsed time."""
        print("Finish training")
        if not self.cfg.TEST.NO_TEST:
            if self.cfg.TEST.FINAL_MODEL == "best_val":
                print("Deploy the model with the best val performance")
                self.load_model(self.output_dir)
            else:
                print("Deploy the last-epoch model")
            self.test()
        print(f"Elapsed: {datetime.timedelta(seconds=round(time.time() - self.time_start))}")
        self.close_writer()

    def after_epoch(self) -> None:
        """Save the model if it is the best so far (``FINAL_MODEL`` best_val), is due, or is the last."""
        if not self.cfg.TEST.NO_TEST and self.cfg.TEST.FINAL_MODEL == "best_val":
            result = self.test(split="val")
            if result > self.best_result:
                self.best_result = result
                self.save_model(self.epoch, self.output_dir, val_result=result, model_name="model-best.pth.tar")
        done = self.epoch + 1
        frequency = self.cfg.TRAIN.CHECKPOINT_FREQ
        if done == self.max_epoch or (frequency > 0 and done % frequency == 0):
            self.save_model(self.epoch, self.output_dir)

    @torch.no_grad()
    def test(self, split: str | None = None) -> float:
        """Evaluate on a split and return the evaluator's first result, the accuracy in percent.

        Args:
            split: "val" or "test", by default ``TEST.SPLIT``; without a validation set it is always the test set.
        """
        self.set_model_mode("eval")
        self.evaluator.reset()
        split = split or self.cfg.TEST.SPLIT
        if split != "val" or self.val_loader is None:
            split = "test"
        print(f"Evaluate on the *{split}* set")
        for batch in tqdm(self.val_loader if split == "val" else self.test_loader):
            image, label = self.parse_batch_test(batch)
            self.evaluator.process(self.model_inference(image), label)
        results = self.evaluator.evaluate()
        for name, value in results.items():
            self.write_scalar(f"{split}/{name}", value, self.epoch)
        return next(iter(results.values()))

    def model_inference(self, input: torch.Tensor) -> torch.Tensor:
        return self.model(input)

    def parse_batch_test(self, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        return batch["img"].to(self.device), batch["label"].to(self.device)
