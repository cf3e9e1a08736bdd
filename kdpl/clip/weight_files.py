"""Reading tensors from weight files in any common format; pickled code is never executed.

OpenAI's files are TorchScript, and torch may run code from such a file while loading it: use TorchScript files only
from sources you trust. The other formats are safe.
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
    """The state dict, on the CPU, in a TorchScript archive, a ``torch.save`` file or a safetensors file.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file has another format, is truncated, or contains Python objects other than tensors.
    """
    check_tensors_file(path, "weights file")
    with open(path, "rb") as file:
        head = file.read(9)
    # Eight bytes of length, then a JSON header. Checked first, because some lengths look like a pickle or a web page.
    if head[8:] == b"{":
        content = _read_safetensors(path)
    elif head.lstrip().startswith(b"<"):
        raise ValueError(f"{path} is a web page (a login or an error page?), not a weights file. Download it again.")
    elif head.startswith((b"PK", b"\x80")):  # zip archive, or the pickle of torch before 1.6
        content = _read_torch(path)
    else:
        raise ValueError(f"{path} is not a weights file, or is truncated. Expected {KINDS}.")
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        found = f"a dict with the keys {list(content)[:8]}" if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} contains {found}; expected a state dict, from names to tensors. Save only that part.")
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
            f"{path} is refused: it contains Python objects, which can execute arbitrary code when loaded. "
            f"Expected {KINDS}. If you trust it, save it again with torch.save(model.state_dict(), path)."
        ) from error
    except (RuntimeError, EOFError, LookupError, TypeError, AttributeError, AssertionError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_torchscript(path: str | os.PathLike) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # OpenAI's files trigger it
        return torch.jit.load(os.fspath(path), map_location="cpu").state_dict()


def _is_torchscript(path: str | os.PathLike) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _unreadable(path: str | os.PathLike, error: Exception) -> ValueError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return ValueError(f"{path} cannot be read ({reason}). Expected {KINDS}. If it is truncated, download it again.")
