"""Training of prompts: one step, one epoch, and the state for resuming interrupted training."""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..caching.features import FeatureCache
from ..clip.precision import grad_scaler
from ..guard import at_safe_places, safe_place
from ..images.seeded_loader import EpochLoader, n_views
from .cached_features import feature_source
from .fast_steps import GraphedStep, has_one_graph, terms_function, total_loss
from .gaussian_averaging import GaussianAverage
from .look_ahead import one_ahead
from .objective import Objective
from .step_log import StepLog

Step = Callable[[dict[str, Any]], dict[str, Tensor]]


class Progress(NamedTuple):
    """The steps of an epoch since the last report."""

    batch: int  # number of finished batches in this epoch
    n_batches: int
    steps: list[dict[str, float]]  # losses and largest gradients of each
    data_seconds: list[float]  # for each: waiting for images and computing frozen features
    step_seconds: list[float]  # for each: total time


class Training:
    """Training of one model: objective, data, optimizer and schedule.

    Attributes:
        epoch: number of finished epochs.
    """

    def __init__(
        self,
        objective: Objective,
        loader: EpochLoader | None,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
        n_epochs: int,
        average: GaussianAverage | None = None,
        cache: FeatureCache | None = None,
        root: str | None = None,
        kind_of_step: str = "plain",
    ):
        """
        Args:
            objective: also holds the model.
            loader: from :func:`seeded_loader`.
            optimizer: for the prompt learner's parameters.
            scheduler: learning rate schedule, stepped once per epoch.
            average: average of the prompts over epochs, which replaces them after the last epoch.
            cache, root: cache of frozen features, see :func:`feature_source`.
            kind_of_step: "plain", "compiled" (by torch.compile) or "graph" (a CUDA graph).
        """
        self.objective = objective
        self.model = objective.model
        self.loader = loader
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.n_epochs = n_epochs
        self.average = average
        self.epoch = 0
        self.features = feature_source(
            objective.frozen_towers(), self.model.device, loader, cache, root, objective.reads_images
        )
        if loader is not None:
            self.features.normalise = loader.dataset.normalise
            loader.n_epochs = n_epochs
            loader.dataset.keep_views(n_epochs)
        self.scaler = grad_scaler() if self.model.precision.needs_loss_scaling else None
        self.terms = terms_function(objective, kind_of_step)
        self.graphed: GraphedStep | None = None
        self.captures = kind_of_step == "graph" and self._can_capture()

    @property
    def n_views(self) -> int:
        """Number of different augmentations of each image over the whole training."""
        return n_views(self.loader.dataset.views, self.n_epochs)

    def step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One training step on a batch on the device; returns its loss terms, also on the device.

        Features missing from the batch are computed.
        """
        if not self.features.towers.keys() <= batch.keys():
            batch = batch | self.features.compute(batch["img"])
        if self.captures:
            self.graphed, self.captures = GraphedStep(self.objective, batch), False
        if self.graphed is not None and self.graphed.fits(batch):
            terms = self.graphed(batch)
            self.optimizer.step()
        else:
            terms = self.terms(batch)
            self.descend(total_loss(terms))
        losses = [name for name in terms if name.startswith("loss")]
        total = {"loss": total_loss(terms)}
        return total | (terms if len(losses) > 1 else {k: v for k, v in terms.items() if k not in losses})

    def descend(self, loss: Tensor) -> None:
        """Backward pass and optimizer step."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.scaler is None:
            loss.backward()
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def _can_capture(self) -> bool:
        """Whether a step can be a CUDA graph; prints a notice if not."""
        if self.model.device.type != "cuda" or self.scaler is not None:
            needs = "a CUDA GPU" if self.scaler is None else "a precision without loss scaling, such as bf16"
            print(f"CUDA graphs need {needs}; using plain steps.")
            return False
        return has_one_graph(self.objective, "as CUDA graphs")

    def run_epoch(self, report: Callable[[Progress], None], report_every: int = 0, step: Step | None = None) -> None:
        """Train for one epoch; synchronises with the device only for reports and loss scaling.

        Ctrl-C takes effect between two steps.

        Args:
            report_every: batches between two reports; there is always one after the last batch.
            step: replaces :meth:`step`.

        Raises:
            FloatingPointError: if a loss or, without loss scaling, a gradient is not finite.
        """
        step = step or self.step
        self.loader.batch_sampler.epoch = self.epoch
        n_batches = len(self.loader)
        log, data_seconds, step_seconds = StepLog(), [], []
        # A scaler skips steps whose gradients overflow, so they are not errors.
        watched = [] if self.scaler else list(self.model.prompt_learner.named_parameters())
        start = time.time()
        batches = one_ahead(self.features.attach(self.loader), self.objective.look_ahead, self.model.device)
        with at_safe_places():
            for i, batch in enumerate(batches, start=1):
                data_seconds.append(time.time() - start)
                log.add(step(batch), watched)
                step_seconds.append(time.time() - start)
                if i == n_batches or (report_every and i % report_every == 0):
                    report(Progress(i, n_batches, log.read(), data_seconds, step_seconds))
                    data_seconds, step_seconds = [], []
                safe_place()
                start = time.time()

    def finish_epoch(self) -> None:
        """Add the epoch to the average; after the last epoch, the average becomes the prompts."""
        if self.average is not None:
            self.average.add(self.model.prompt_learner, self.epoch)
            if self.epoch + 1 == self.n_epochs:
                self.average.apply(self.model.prompt_learner)
        self.epoch += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything the next epoch depends on: tensors and plain values.

        Order and augmentation of images are functions of (seed, epoch, image), and the learning rate of the epoch, so
        the state consists of prompts, momentum and the average.
        """
        return {
            "epoch": self.epoch,
            "prompts": self.model.prompt_learner.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "scaler": self.scaler.state_dict() if self.scaler else {},
            "method": {"average": self.average.total} if self.average else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from :meth:`state_dict`."""
        self.model.prompt_learner.load_state_dict(state["prompts"])
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state["optimizer"]})
        with warnings.catch_warnings():  # torch does not see the optimizer steps that the interrupted process took
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step.*")
            for _ in range(state["epoch"]):
                self.scheduler.step()
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.total = {name: t.to(self.model.device) for name, t in state["method"]["average"].items()}
        self.epoch = state["epoch"]
