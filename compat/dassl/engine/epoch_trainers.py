"""One epoch over labelled images, or over labelled and unlabelled ones side by side."""

import datetime
import time
from collections.abc import Iterator

import torch
from dassl.utils import AverageMeter, MetricMeter
from torch.utils.data import DataLoader

from .simple_trainer import SimpleTrainer


class _EpochTrainer(SimpleTrainer):
    """The loop over the batches of an epoch, with its log lines and scalars."""

    def _run_batches(self, batches: Iterator[tuple], num_batches: int) -> None:
        """Call ``forward_backward(*batches)`` for ``num_batches`` steps."""
        self.set_model_mode("train")
        self.num_batches = num_batches
        losses, batch_time, data_time = MetricMeter(), AverageMeter(), AverageMeter()
        start = time.time()
        for self.batch_idx, batch in zip(range(num_batches), batches, strict=False):
            data_time.update(time.time() - start)
            losses.update(self.forward_backward(*batch))
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


class TrainerX(_EpochTrainer):
    """Trains on labelled images."""

    def run_epoch(self) -> None:
        self._run_batches(((batch,) for batch in self.train_loader_x), len(self.train_loader_x))

    def parse_batch_train(self, batch: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images, labels and domains, on the device."""
        return tuple(batch[key].to(self.device) for key in ("img", "label", "domain"))


class TrainerXU(_EpochTrainer):
    """Trains on labelled and unlabelled images; ``forward_backward`` takes a batch of each."""

    def run_epoch(self) -> None:
        lengths = {"train_x": len(self.train_loader_x), "train_u": len(self.train_loader_u)}
        lengths["smaller_one"] = min(lengths.values())
        count_iter = self.cfg.TRAIN.COUNT_ITER
        if count_iter not in lengths:
            raise ValueError(f"TRAIN.COUNT_ITER is {count_iter!r}; known are {list(lengths)}")
        pairs = zip(_endless(self.train_loader_x), _endless(self.train_loader_u), strict=False)
        self._run_batches(pairs, lengths[count_iter])

    def parse_batch_train(self, batch_x: dict, batch_u: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Labelled images, their labels, and unlabelled images, on the device."""
        return batch_x["img"].to(self.device), batch_x["label"].to(self.device), batch_u["img"].to(self.device)


def _endless(loader: DataLoader) -> Iterator[dict]:
    while True:
        yield from loader
