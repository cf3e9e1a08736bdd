"""The training loop over one epoch of labelled images."""

import datetime
import time

import torch
from dassl.utils import AverageMeter, MetricMeter

from .simple_trainer import SimpleTrainer


class TrainerX(SimpleTrainer):
    """Trains on labelled images."""

    def run_epoch(self) -> None:
        """Call ``forward_backward`` with each batch, and log the values it returns to the console and TensorBoard."""
        self.set_model_mode("train")
        loader = self.train_loader_x
        num_batches = self.num_batches = len(loader)
        losses, batch_time, data_time = MetricMeter(), AverageMeter(), AverageMeter()
        start = time.time()
        for self.batch_idx, batch in enumerate(loader):
            data_time.update(time.time() - start)
            losses.update(self.forward_backward(batch))
            batch_time.update(time.time() - start)
            if (self.batch_idx + 1) % self.cfg.TRAIN.PRINT_FREQ == 0 or num_batches < self.cfg.TRAIN.PRINT_FREQ:
                self._print_progress(losses, batch_time, data_time)
            step = self.epoch * num_batches + self.batch_idx
            for name, meter in losses.meters.items():
                self.write_scalar(f"train/{name}", meter.avg, step)
            self.write_scalar("train/lr", self.get_current_lr(), step)
            start = time.time()

    def _print_progress(self, losses: MetricMeter, batch_time: AverageMeter, data_time: AverageMeter) -> None:
        batches_left = (self.max_epoch - self.epoch) * self.num_batches - self.batch_idx - 1
        eta = datetime.timedelta(seconds=int(batch_time.avg * batches_left))
        print(
            f"epoch [{self.epoch + 1}/{self.max_epoch}] batch [{self.batch_idx + 1}/{self.num_batches}] "
            f"time {batch_time.val:.3f} ({batch_time.avg:.3f}) data {data_time.val:.3f} ({data_time.avg:.3f}) "
            f"{losses} lr {self.get_current_lr():.4e} eta {eta}"
        )

    def parse_batch_train(self, batch: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images, labels and domains, on the device."""
        return tuple(batch[key].to(self.device) for key in ("img", "label", "domain"))
