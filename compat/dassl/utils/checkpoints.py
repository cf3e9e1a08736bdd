"""Checkpoints of tensors and plain values, written atomically and loaded without running code from the file."""

import os
import pickle
import shutil
import warnings
from pathlib import Path

import torch
from torch import nn

from .files import replaced_when_complete

POINTER = "checkpoint"  # file beside the checkpoints that names the latest one
# What torch.load raises for a damaged file, depending on where the damage is.
BROKEN = (EOFError, LookupError, OSError, RuntimeError, ValueError, pickle.UnpicklingError)


def save_checkpoint(
    state: dict,
    save_dir: str | os.PathLike,
    is_best: bool = False,
    remove_module_from_keys: bool = True,
    model_name: str = "",
) -> None:
    """Write a checkpoint, then point to it from the file ``checkpoint``.

    Args:
        state: "state_dict", "epoch" and anything else to save.
        save_dir: folder, created if missing.
        is_best: keep a copy as ``model-best.pth.tar``.
        remove_module_from_keys: drop the "module." that ``nn.DataParallel`` puts before names.
        model_name: file name; empty means ``model.pth.tar-<epoch>``.
    """
    if remove_module_from_keys:
        state = {**state, "state_dict": without_module_prefix(state["state_dict"])}
    path = Path(save_dir) / (model_name or f"model.pth.tar-{state['epoch']}")
    with replaced_when_complete(path) as temporary:
        torch.save(state, temporary)
    print(f"Checkpoint saved to {path}")
    with replaced_when_complete(path.with_name(POINTER)) as temporary:
        temporary.write_text(f"{path.name}\n", encoding="utf-8")
    if is_best:
        best_path = path.with_name("model-best.pth.tar")
        with replaced_when_complete(best_path) as temporary:
            shutil.copyfile(path, temporary)
        print(f'Best checkpoint saved to "{best_path}"')


def load_checkpoint(fpath: str | os.PathLike) -> dict:
    """Load a checkpoint; without a CUDA device, tensors go to the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is empty, truncated or not a checkpoint, or contains more than tensors and plain values.
    """
    if fpath is None:
        raise ValueError("the path of the checkpoint is None; give a file")
    if not os.path.isfile(fpath):
        raise FileNotFoundError(f"no checkpoint at {fpath}")
    map_location = None if torch.cuda.is_available() else "cpu"
    with open(fpath, "rb") as file:
        try:
            return torch.load(file, map_location=map_location, weights_only=True)
        except BROKEN as error:
            raise ValueError(
                f"{fpath} cannot be loaded as a checkpoint: it is empty, truncated, or contains more than tensors and "
                "plain values, which could run arbitrary code"
            ) from error


def resume_from_checkpoint(
    fdir: str | os.PathLike,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    scheduler: object | None = None,
) -> int:
    """Restore the latest checkpoint in the folder ``fdir`` and return the epoch to continue with.

    Raises:
        FileNotFoundError: if the folder has no file ``checkpoint``, or the file it names is missing.
        ValueError: if the checkpoint is broken or belongs to another model.
    """
    pointer = Path(fdir) / POINTER
    if not pointer.is_file():
        raise FileNotFoundError(f"no checkpoint to resume from: {pointer} does not exist")
    path = pointer.with_name(pointer.read_text(encoding="utf-8").strip())
    print(f'Loading checkpoint from "{path}"')
    checkpoint = load_checkpoint(path)
    load_weights(model, checkpoint["state_dict"], path)
    print("Loaded model weights")
    if optimizer is not None and checkpoint.get("optimizer") is not None:
        optimizer.load_state_dict(checkpoint["optimizer"])
        print("Loaded optimizer")
    if scheduler is not None and checkpoint.get("scheduler") is not None:
        scheduler.load_state_dict(checkpoint["scheduler"])
        print("Loaded scheduler")
    print(f"Previous epoch: {checkpoint['epoch']}")
    return checkpoint["epoch"]


def load_weights(model: nn.Module, state_dict: dict, source: str | os.PathLike) -> None:
    """Load all weights of ``model``.

    Raises:
        ValueError: if names or shapes differ; the message names ``source`` and lists the differences.
    """
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise ValueError(f"{source} is a checkpoint of a different model: {error}") from error


def load_pretrained_weights(model: nn.Module, weight_path: str | os.PathLike) -> None:
    """Copy those weights of a checkpoint whose name and shape match into ``model``, and print the others' names."""
    checkpoint = load_checkpoint(weight_path)
    weights = without_module_prefix(checkpoint.get("state_dict", checkpoint))
    own = model.state_dict()
    matched = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    if not matched:
        warnings.warn(f"no weight in {weight_path} has the name and shape of one in the model", stacklevel=2)
        return
    model.load_state_dict({**own, **matched})
    print(f"Successfully loaded pretrained weights from {weight_path}")
    discarded = [key for key in weights if key not in matched]
    if discarded:
        print(f"Layers discarded due to unmatched keys or size: {discarded}")


def without_module_prefix(state_dict: dict) -> dict:
    """``state_dict`` without the "module." that ``nn.DataParallel`` puts before its keys."""
    return {key.removeprefix("module."): value for key, value in state_dict.items()}
