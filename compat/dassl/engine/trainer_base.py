"""The parts of training that do not depend on data: models, optimizers, checkpoints, scalars, the order of hooks."""

import os

import torch
from dassl.utils import load_checkpoint, resume_from_checkpoint, save_checkpoint, tolist_if_not
from dassl.utils.checkpoints import load_weights
from torch import nn
from torch.optim import Optimizer


class TrainerBase:
    """Registered models with optimizers and schedules, and the loop over epochs.

    Its methods take ``names`` as one name, a list of names, or None for all registered models.
    """

    def __init__(self):
        self._models: dict[str, nn.Module] = {}
        self._optims: dict[str, Optimizer | None] = {}
        self._scheds: dict[str, object | None] = {}
        self._writer = None

    def register_model(
        self,
        name: str = "model",
        model: nn.Module | None = None,
        optim: Optimizer | None = None,
        sched: object | None = None,
    ) -> None:
        """Register a model to be saved, resumed and switched between training and evaluation.

        Raises:
            AttributeError: if ``super().__init__()`` was not called before.
            ValueError: if the name is taken.
        """
        if "_models" not in self.__dict__:
            raise AttributeError("call super().__init__() before register_model")
        if name in self._models:
            raise ValueError(f"a model called {name!r} is registered already")
        self._models[name], self._optims[name], self._scheds[name] = model, optim, sched

    def get_model_names(self, names: str | list[str] | None = None) -> list[str]:
        """``names`` as a validated list; by default all."""
        if names is None:
            return list(self._models)
        names = tolist_if_not(names)
        unknown = [name for name in names if name not in self._models]
        if unknown:
            raise ValueError(f"no model called {unknown} is registered, only {list(self._models)}")
        return names

    def save_model(
        self,
        epoch: int,
        directory: str | os.PathLike,
        is_best: bool = False,
        val_result: float | None = None,
        model_name: str = "",
    ) -> None:
        """Write ``<directory>/<model>/model.pth.tar-<epoch + 1>`` (or ``model_name``) for every model."""
        for name in self.get_model_names():
            optim, sched = self._optims[name], self._scheds[name]
            state = {
                "state_dict": self._models[name].state_dict(),
                "epoch": epoch + 1,
                "optimizer": optim.state_dict() if optim is not None else None,
                "scheduler": sched.state_dict() if sched is not None else None,
                "val_result": val_result,
            }
            save_checkpoint(state, os.path.join(directory, name), is_best=is_best, model_name=model_name)

    def resume_model_if_exist(self, directory: str | os.PathLike) -> int:
        """Resume from the latest checkpoints below ``directory``, if every model has one.

        Returns:
            The epoch to start with, 0 without checkpoints.

        Raises:
            ValueError: if the models' checkpoints are from different epochs.
        """
        folders = {name: os.path.join(directory, name) for name in self.get_model_names()}
        if not all(os.path.isfile(os.path.join(folder, "checkpoint")) for folder in folders.values()):
            print("No checkpoint found, train from scratch")
            return 0
        print(f"Found checkpoint at {directory} (will resume training)")
        epochs = {
            name: resume_from_checkpoint(folder, self._models[name], self._optims[name], self._scheds[name])
            for name, folder in folders.items()
        }
        if len(set(epochs.values())) > 1:
            raise ValueError(f"the models below {directory} were saved at different epochs: {epochs}")
        return next(iter(epochs.values()), 0)

    def load_model(self, directory: str | os.PathLike, epoch: int | None = None) -> None:
        """Load the weights of every model, from ``epoch`` or the best; with an empty ``directory`` nothing is loaded.

        Raises:
            FileNotFoundError: if a model has no such checkpoint; the message lists the existing ones.
        """
        if not directory:
            print("No folder of a trained model is given: load_model() leaves the weights as they are")
            return
        file_name = "model-best.pth.tar" if epoch is None else f"model.pth.tar-{epoch}"
        for name in self.get_model_names():
            folder = os.path.join(directory, name)
            path = os.path.join(folder, file_name)
            if not os.path.isfile(path):
                present = sorted(os.listdir(folder)) if os.path.isdir(folder) else "no such folder"
                raise FileNotFoundError(f"no model at {path}; in {folder}: {present}")
            checkpoint = load_checkpoint(path)
            val_result = checkpoint.get("val_result")
            shown = f"{val_result:.1f}" if val_result is not None else "none"
            print(f"Load {path} to {name} (epoch={checkpoint['epoch']}, val_result={shown})")
            load_weights(self._models[name], checkpoint["state_dict"], path)

    def set_model_mode(self, mode: str = "train", names: str | list[str] | None = None) -> None:
        """Switch to "train", or to "eval" (also called "test")."""
        if mode not in ("train", "eval", "test"):
            raise ValueError(f"unknown mode {mode!r}; must be 'train', 'eval' or 'test'")
        for name in self.get_model_names(names):
            self._models[name].train(mode == "train")

    def update_lr(self, names: str | list[str] | None = None) -> None:
        """Step the schedules: once per epoch, after its last batch."""
        for name in self.get_model_names(names):
            if self._scheds[name] is not None:
                self._scheds[name].step()

    def get_current_lr(self, names: str | list[str] | None = None) -> float:
        """The learning rate of the first parameter group of the first model."""
        return self._optims[self.get_model_names(names)[0]].param_groups[0]["lr"]

    def detect_anomaly(self, loss: torch.Tensor) -> None:
        """Raise FloatingPointError if the loss is not finite."""
        if not torch.isfinite(loss).all():
            raise FloatingPointError("Loss is infinite or NaN!")

    def model_zero_grad(self, names: str | list[str] | None = None) -> None:
        """Zero the gradients."""
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                self._optims[name].zero_grad()

    def model_backward(self, loss: torch.Tensor) -> None:
        """Check that the loss is finite and compute its gradients."""
        self.detect_anomaly(loss)
        loss.backward()

    def model_update(self, names: str | list[str] | None = None) -> None:
        """Step the optimizers."""
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                self._optims[name].step()

    def model_backward_and_update(self, loss: torch.Tensor, names: str | list[str] | None = None) -> None:
        """One training step: gradients of the loss, then the optimizers."""
        self.model_zero_grad(names)
        self.model_backward(loss)
        self.model_update(names)

    def init_writer(self, log_dir: str | os.PathLike) -> None:
        """Open TensorBoard's event file unless it is open already."""
        if self._writer is not None:
            return
        from torch.utils.tensorboard import SummaryWriter  # slow to import and not needed for evaluation

        print(f"Initialize tensorboard (log_dir={log_dir})")
        self._writer = SummaryWriter(log_dir=log_dir)

    def close_writer(self) -> None:
        """Close the event file, if it is open."""
        if self._writer is not None:
            self._writer.close()

    def write_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        """Write a scalar for TensorBoard, if an event file is open."""
        if self._writer is not None:
            self._writer.add_scalar(tag, scalar_value, global_step)

    def train(self, start_epoch: int, max_epoch: int) -> None:
        """Run the epochs and all hooks; ``before_train`` may change ``start_epoch``."""
        self.start_epoch, self.max_epoch = start_epoch, max_epoch
        self.before_train()
        for epoch in range(self.start_epoch, self.max_epoch):
            self.epoch = epoch
            self.before_epoch()
            self.run_epoch()
            self.after_epoch()
        self.after_train()

    def before_train(self) -> None:
        """Called once, before the first epoch."""

    def after_train(self) -> None:
        """Called once, after the last epoch."""

    def before_epoch(self) -> None:
        """Called before each epoch."""

    def after_epoch(self) -> None:
        """Called after each epoch."""

    def run_epoch(self) -> None:
        """Train for one epoch."""
        raise NotImplementedError

    def test(self) -> float:
        """Evaluate."""
        raise NotImplementedError

    def parse_batch_train(self, batch: dict) -> object:
        """The parts of a batch that ``forward_backward`` needs, on the device."""
        raise NotImplementedError

    def parse_batch_test(self, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels of a batch, on the device."""
        raise NotImplementedError

    def forward_backward(self, batch: dict) -> dict[str, float]:
        """One training step; returns the values to log."""
        raise NotImplementedError

    def model_inference(self, input: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_cls) of images."""
        raise NotImplementedError
