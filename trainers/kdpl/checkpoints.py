"""Files of learned prompts: ours, and the published ones of the five methods and their KDPL variants."""

import os
import pickle
import re
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from .atomic_files import atomic_path
from .prompt_learners import PromptLearner

FORMAT = "kdpl-prompts-1"
# What damaged bytes make torch.load do: a pickle is a program, and these run whatever program they have become.
DAMAGED = (
    pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError,
    AssertionError, ArithmeticError, MemoryError, struct.error,
)  # fmt: skip
# What the published code learns; everything else in its files is the rest of CLIP, or made from it.
LEARNED = re.compile(r"(^|\.)(ctx|VPT|VPT_shallow)$|(^|\.)(meta_net|compound_prompt\w*)\.|(^|prompt_learner\.)proj\.")


def save_prompts(path: str | os.PathLike, method: str, epoch: int, learner: PromptLearner, settings: dict) -> None:
    """Write the learned tensors (kilobytes) with plain facts about them; loads with ``weights_only=True``."""
    state = {name: tensor.detach().cpu() for name, tensor in learner.state_dict().items()}
    content = {"format": FORMAT, "method": method, "epoch": epoch, "settings": settings, "state_dict": state}
    save_atomically(path, content)


def load_prompts(path: str | os.PathLike, method: str, learner: PromptLearner) -> dict[str, Any]:
    """Fill a prompt learner from our file or a published one.

    Returns:
        What the file says beside the tensors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint, of another method, or its tensors do not fit; the difference is listed.
    """
    content = read_checkpoint(path)
    state = content.pop("state_dict", None)
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError(f"{path} holds no 'state_dict' of tensors; it is not a checkpoint of prompts.")
    if content.get("method", method) != method:
        raise ValueError(
            f"{path} holds prompts of {content['method']}, and the trainer learns those of {method}. "
            f"Use a trainer of {content['method']}, or name another --model-dir."
        )
    names = dict.fromkeys(learner.state_dict())
    ours = content.get("format") == FORMAT
    in_file = {name: name if ours else learner.official_names.get(name, name) for name in names}
    learned = {name: tensor for name, tensor in state.items() if ours or _is_learned(name, learner)}
    _check_tensors(path, method, {in_file[name]: tensor for name, tensor in learner.state_dict().items()}, learned)
    learner.load_state_dict({name: learned[in_file[name]].float() for name in names})
    return content


def _is_learned(official_name: str, learner: PromptLearner) -> bool:
    return bool(LEARNED.search(official_name)) and not learner.is_beyond_towers(official_name)


def _check_tensors(path: str | os.PathLike, method: str, wanted: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    problems = [f"missing: {name} {tuple(wanted[name].shape)}" for name in wanted if name not in found]
    problems += [f"unknown: {name} {tuple(found[name].shape)}" for name in found if name not in wanted]
    problems += [
        f"{name}: shape {tuple(found[name].shape)} in the file, {tuple(wanted[name].shape)} as configured"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if problems:
        raise ValueError(
            f"{path} does not fit {method} as configured:\n  " + "\n  ".join(problems) + "\n"
            "The method, its lengths and depths (N_CTX, CTX_INIT, PROMPT_DEPTH, ...) and the backbone must be those of "
            "the run that wrote the file."
        )


def find_checkpoint(directory: str | os.PathLike, registered_name: str, epoch: int | None = None) -> Path:
    """``<directory>/<registered name>/model.pth.tar-<epoch>``; without an epoch the best one, else the latest.

    Raises:
        FileNotFoundError: if there is none; what the folder holds is listed.
    """
    folder = Path(directory) / registered_name
    by_epoch = {
        int(file.name.rsplit("-", 1)[1]): file
        for file in folder.glob("model.pth.tar-*")
        if file.name.rsplit("-", 1)[1].isdigit()
    }
    best = folder / "model-best.pth.tar"
    if epoch is not None and epoch in by_epoch:
        return by_epoch[epoch]
    if epoch is None and (best.is_file() or by_epoch):
        return best if best.is_file() else by_epoch[max(by_epoch)]
    wanted = folder / (f"model.pth.tar-{epoch}" if epoch is not None else "model.pth.tar-<epoch>")
    others = sorted(file.parent.name for file in Path(directory).glob("*/model*.pth.tar*"))
    if by_epoch:
        found = f"Epochs that are there: {', '.join(map(str, sorted(by_epoch)))}."
    elif others:
        found = f"The folder holds models of another method, in {', '.join(dict.fromkeys(others))}."
    else:
        found = "--model-dir names the output folder of a training run, --load-epoch an epoch that it saved."
    raise FileNotFoundError(f"No checkpoint at {wanted}. {found}")


def save_atomically(path: str | os.PathLike, content: dict) -> None:
    """``torch.save`` that leaves the old file or the new one, never half of it; the same bytes for the same content."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:  # given a path, torch writes its name as well
        torch.save(content, file)


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Tensors and plain values of a file written by ``torch.save``; nothing in it is executed.

    Published checkpoints hold optimizer and scheduler objects beside the tensors; these become inert placeholders.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read as a checkpoint.
    """
    with open(path, "rb") as file:
        try:
            if _is_program(file):
                raise ValueError("it is a TorchScript program, which would run when it is loaded")
            content = torch.load(file, map_location="cpu", pickle_module=_InertPickle, weights_only=False)
        except DAMAGED as error:
            raise ValueError(f"{path} is no checkpoint, or is damaged ({type(error).__name__}: {error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no checkpoint: it holds a {type(content).__name__}, not a dictionary.")
    return content


def _is_program(file: BinaryIO) -> bool:
    """Whether ``torch.load`` would run the file as TorchScript; asked of torch's own reader, so that both agree."""
    if file.read(4) != b"PK\x03\x04":  # no archive: torch takes it for a pickle
        file.seek(0)
        return False
    file.seek(0)
    records = torch._C.PyTorchFileReader(file).get_all_records()
    file.seek(0)
    return "constants.pkl" in records


class _Inert:
    """Stands for any object that is not a tensor or a plain value; takes whatever is done to it and does nothing."""

    def __init__(self, *args, **kwargs): ...

    def __call__(self, *args, **kwargs):
        return _Inert()

    def __setstate__(self, state): ...

    def __setitem__(self, key, value): ...

    def append(self, value): ...

    def extend(self, values): ...


class _InertPickle:
    """What ``torch.load`` needs of a pickle module; the only door to code, ``find_class``, opens to tensors alone."""

    class Unpickler(pickle._Unpickler):  # in Python: that in C allocates many gigabytes if a damaged byte says so
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("collections", "OrderedDict"):
                return OrderedDict
            if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
                return getattr(torch._utils, name)
            if module == "torch" and (isinstance(getattr(torch, name, None), torch.dtype) or name.endswith("Storage")):
                return getattr(torch, name)
            if (module, name) == ("torch", "Size"):
                return torch.Size
            return _Inert

    @staticmethod
    def load(file, **kwargs):
        return _InertPickle.Unpickler(file, **kwargs).load()
