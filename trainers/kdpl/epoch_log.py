"""Dassl's log lines and TensorBoard scalars for an epoch."""

import datetime

from dassl.engine import TrainerX
from dassl.utils import AverageMeter, MetricMeter

from kdpl.distillation.training import Progress


class EpochLog:
    """Prints and records the reports of one epoch's steps."""

    def __init__(self, trainer: TrainerX, print_every: int):
        self.trainer = trainer
        self.print_every = print_every
        self.losses = MetricMeter()
        self.batch_time, self.data_time = AverageMeter(), AverageMeter()

    def report(self, progress: Progress) -> None:
        """Add these steps to the meters and the TensorBoard file, and print a line if one is due."""
        trainer = self.trainer
        trainer.batch_idx = progress.batch - 1
        first = trainer.epoch * progress.n_batches + progress.batch - len(progress.steps)
        for i, step in enumerate(progress.steps):
            self.data_time.update(progress.data_seconds[i])
            self.batch_time.update(progress.step_seconds[i])
            self.losses.update({name: value for name, value in step.items() if not name.startswith("gradient")})
            for name, meter in self.losses.meters.items():
                trainer.write_scalar(f"train/{name}", meter.avg, first + i)
            trainer.write_scalar("train/lr", trainer.get_current_lr(), first + i)
        if progress.batch % self.print_every == 0:
            print(self._line(progress))

    def _line(self, progress: Progress) -> str:
        trainer = self.trainer
        batches_left = (trainer.max_epoch - trainer.epoch) * progress.n_batches - progress.batch
        eta = datetime.timedelta(seconds=int(self.batch_time.avg * batches_left))
        step, data = self.batch_time, self.data_time
        times = f"time {step.val:.3f} ({step.avg:.3f}) data {data.val:.3f} ({data.avg:.3f})"
        return (
            f"epoch [{trainer.epoch + 1}/{trainer.max_epoch}] batch [{progress.batch}/{progress.n_batches}] "
            f"{times} {self.losses} lr {trainer.get_current_lr():.4e} eta {eta}"
        )
