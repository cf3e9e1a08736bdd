"""Reading ``torch.save`` files without executing code in them, and writing them atomically."""

import io
import os
import pickle
import struct
from collections import OrderedDict
from typing import Any, BinaryIO

import torch

from ..atomic_files import atomic_path
from ..guard import at_safe_places
from ..outside import MOST_DEPTH, check_tensors_file

# Everything torch.load may raise for damaged bytes: a pickle is a program, and damage turns it into another program.
DAMAGED = (
    pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError,
    AssertionError, ArithmeticError, MemoryError, struct.error,
)  # fmt: skip


def save_atomically(path: str | os.PathLike, content: dict) -> None:
    """``torch.save`` that leaves either the old or the new file complete; the same content gives the same bytes."""
    data = io.BytesIO()  # writing to a file, torch aborts the process on a full disk or Ctrl-C
    with at_safe_places():
        torch.save(content, data)
        with atomic_path(path) as temporary:
            temporary.write_bytes(data.getbuffer())


def read_checkpoint(path: str | os.PathLike, what: str = "checkpoint") -> dict[str, Any]:
    """Tensors and plain values of a ``torch.save`` file; no code in it is executed.

    Published checkpoints also contain optimizer and scheduler objects, which become inert placeholders.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file cannot be read as a checkpoint.
    """
    check_tensors_file(path, what)
    with open(path, "rb") as file:
        try:
            if _is_program(file):
                raise ValueError("it is a TorchScript program, which would run when loaded")
            content = torch.load(file, map_location="cpu", pickle_module=_InertPickle, weights_only=False)
            _check_plain(content, 0)
        except DAMAGED as error:
            ours = str(error).startswith("it ")
            why = error if ours else "it is not a complete file written by torch.save"
            raise ValueError(f"{path} is not a {what}, or is damaged: {why}.") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} is not a {what}: it contains an object of type {type(content).__name__} instead of a dictionary."
        )
    return content


def _is_program(file: BinaryIO) -> bool:
    """Whether ``torch.load`` would run the file as TorchScript, according to torch's own reader."""
    if file.read(4) != b"PK\x03\x04":  # not an archive: torch treats it as a pickle
        file.seek(0)
        return False
    file.seek(0)
    records = torch._C.PyTorchFileReader(file).get_all_records()
    file.seek(0)
    return "constants.pkl" in records


class _Inert:
    """Placeholder for objects other than tensors and plain values, on which all operations do nothing."""

    def __init__(self, *args, **kwargs): ...

    def __call__(self, *args, **kwargs):
        return _Inert()

    def __setstate__(self, state): ...

    def __setitem__(self, key, value): ...

    def append(self, value): ...

    def extend(self, values): ...


def _check_plain(value: Any, depth: int) -> None:
    """Refuse absurdly large numbers and deep nesting, which come from damaged bytes."""
    if depth > MOST_DEPTH:
        raise ValueError("it is nested too deeply")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("it contains a number of more than 64 bits")
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    for item in value if isinstance(value, list | tuple | set) else ():
        _check_plain(item, depth + 1)


def _rebuild_tensor(storage: Any, offset: int, size: tuple, stride: tuple, *rest: Any) -> torch.Tensor:
    """Rebuild a tensor, but refuse overlapping elements, with which a small file could describe a huge tensor."""
    tensor = torch._utils._rebuild_tensor_v2(storage, offset, size, stride, *rest)
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"it contains a tensor of shape {tuple(tensor.shape)} with too few numbers")
    return tensor


class _InertPickle:
    """A pickle module for ``torch.load``; ``find_class``, the only way to reach code, gives access to tensors only."""

    class Unpickler(pickle._Unpickler):  # in Python, because damaged bytes can make the C version allocate gigabytes
        dispatch = dict(pickle._Unpickler.dispatch)

        def load_build(self) -> None:
            """Set an object's attributes, but never those of a class or function, which the whole process shares."""
            state, target = self.stack.pop(), self.stack[-1]
            if isinstance(target, OrderedDict) and isinstance(state, dict):
                vars(target).update(state)  # metadata of a state dict
            elif not isinstance(target, _Inert):
                raise pickle.UnpicklingError(f"it sets attributes of a {type(target).__name__}")

        dispatch[pickle.BUILD[0]] = load_build

        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("collections", "OrderedDict"):
                return OrderedDict
            if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
                return _rebuild_tensor
            if (module, name) == ("torch._utils", "_rebuild_parameter"):
                return torch._utils._rebuild_parameter
            if module == "torch" and (isinstance(getattr(torch, name, None), torch.dtype) or name.endswith("Storage")):
                return getattr(torch, name)
            if (module, name) == ("torch", "Size"):
                return torch.Size
            return _Inert

    @staticmethod
    def load(file, **kwargs):
        return _InertPickle.Unpickler(file, **kwargs).load()
