"""One epoch of training in which the host never waits for the device, except where it prints or scales losses."""

import datetime
import time
from typing import TYPE_CHECKING

from dassl.utils import AverageMeter, MetricMeter

from .step_log import StepLog

if TYPE_CHECKING:
    from .trainer import PromptTrainer


def run_epoch(trainer: "PromptTrainer") -> None:
    """Go through the training images once; log lines and scalars are those of Dassl.

    Raises:
        FloatingPointError: if a loss or, where losses are not scaled, a gradient is not finite.
    """
    loader = trainer.train_loader_x
    loader.batch_sampler.epoch = trainer.epoch
    trainer.num_batches = len(loader)
    log, losses = StepLog(), MetricMeter()
    batch_time, data_time = AverageMeter(), AverageMeter()
    print_every = trainer.cfg.TRAIN.PRINT_FREQ if trainer.cfg.TRAIN.PRINT_FREQ <= trainer.num_batches else 1
    # A scaler skips steps whose gradients overflow: there they are no fault.
    watched = [] if trainer.scaler else list(trainer.model.prompt_learner.named_parameters())

    end = time.time()
    for trainer.batch_idx, batch in enumerate(loader):
        data_time.update(time.time() - end)
        log.add(trainer.forward_backward(batch), watched)
        batch_time.update(time.time() - end)
        last = trainer.batch_idx + 1 == trainer.num_batches
        if last or (trainer.batch_idx + 1) % print_every == 0:
            _report(trainer, log, losses)
        if (trainer.batch_idx + 1) % print_every == 0:
            print(_line(trainer, losses, batch_time, data_time))
        end = time.time()
    trainer.update_lr()


def _report(trainer: "PromptTrainer", log: StepLog, losses: MetricMeter) -> None:
    """Bring the steps since the last report into the meters and the TensorBoard file."""
    steps = log.read()
    first = trainer.epoch * trainer.num_batches + trainer.batch_idx + 1 - len(steps)
    for i, step in enumerate(steps):
        losses.update({name: value for name, value in step.items() if not name.startswith("gradient")})
        for name, meter in losses.meters.items():
            trainer.write_scalar(f"train/{name}", meter.avg, first + i)
        trainer.write_scalar("train/lr", trainer.get_current_lr(), first + i)


def _line(trainer: "PromptTrainer", losses: MetricMeter, batch_time: AverageMeter, data_time: AverageMeter) -> str:
    batches_left = (trainer.max_epoch - trainer.epoch) * trainer.num_batches - trainer.batch_idx - 1
    eta = datetime.timedelta(seconds=int(batch_time.avg * batches_left))
    return (
        f"epoch [{trainer.epoch + 1}/{trainer.max_epoch}] batch [{trainer.batch_idx + 1}/{trainer.num_batches}] "
        f"time {batch_time.val:.3f} ({batch_time.avg:.3f}) data {data_time.val:.3f} ({data_time.avg:.3f}) "
        f"{losses} lr {trainer.get_current_lr():.4e} eta {eta}"
    )
