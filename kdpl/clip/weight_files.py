"""Tensors out of weight files of any common kind; no pickle in them is executed.

OpenAI's files are TorchScript, and torch can run what such a file holds while it is loaded: take these from people whom
you trust, the other kinds from anybody.
"""

import os
import pickle
import warnings
import zipfile

import torch
from torch import Tensor

from ..outside import check_tensors_file
from .converted_weights import converted

KINDS = "a TorchScript archive, a state dict saved by torch.save, or safetensors"


def read_state_dict(path: str | os.PathLike) -> dict[str, Tensor]:
    """Name to tensor, on the CPU, of a TorchScript archive, a saved state dict or a safetensors file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is of another kind, is cut off, or holds Python objects beside tensors.
    """
    check_tensors_file(path, "weight file")
    with open(path, "rb") as file:
        head = file.read(9)
    # Eight bytes of length, then a header in JSON; first, as one length in 32 begins like a pickle, some like a page.
    if head[8:] == b"{":
        content = _read_safetensors(path)
    elif head.lstrip().startswith(b"<"):
        raise ValueError(f"{path} is a web page, not weights: a login or an error page was saved. Fetch it again.")
    elif head.startswith((b"PK", b"\x80")):  # zip archive, or the pickle of torch before 1.6
        content = _read_torch(path)
    else:
        raise ValueError(f"{path} is not a weight file, or was cut off. Expected {KINDS}.")
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        found = f"a dict with the keys {list(content)[:8]}" if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} holds {found}; expected a state dict, names to tensors. Save that part alone.")
    return dict(content)


def _read_safetensors(path: str | os.PathLike) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise _unreadable(path, error) from error


def _read_torch(path: str | os.PathLike) -> object:
    try:
        if zipfile.is_zipfile(path) and _is_torchscript(path):
            return converted(path, lambda: _read_torchscript(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is refused: it holds Python objects, which may execute anything when they are read. "
            f"Expected {KINDS}. If you trust it, save it again as torch.save(model.state_dict(), path)."
        ) from error
    except (RuntimeError, EOFError, LookupError, TypeError, AttributeError, AssertionError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_torchscript(path: str | os.PathLike) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # OpenAI's files are of this kind
        return torch.jit.load(os.fspath(path), map_location="cpu").state_dict()


def _is_torchscript(path: str | os.PathLike) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _unreadable(path: str | os.PathLike, error: Exception) -> ValueError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return ValueError(f"{path} cannot be read ({reason}). Expected {KINDS}. A file that was cut off: fetch it again.")
