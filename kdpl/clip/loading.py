"""A CLIP by name: OpenAI's, open_clip's, one from a local file, or the demo pair of this repository."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from ..fingerprints import sha256_of
from ..names import OPEN_CLIP_PREFIX, did_you_mean
from .loaded import LoadedCLIP
from .open_clip_loading import check_open_clip_name, load_open_clip, open_clip_weights_file
from .openai import OPENAI_WEIGHTS, clip_from_state_dict, openai_clip, openai_weights_file
from .precision import Precision
from .towers import Preprocessing
from .weight_files import read_state_dict

DEMO_WEIGHTS = {  # name: file
    f"demo:{role}": Path(__file__).parents[1] / "demo" / f"{role}.safetensors" for role in ("student", "teacher")
}


@dataclass(frozen=True)
class DeferredCLIP:
    """A CLIP by name that is loaded when somebody computes with it, if that happens.

    Attributes:
        weights_sha256, preprocessing: as :class:`LoadedCLIP` has them.
    """

    name: str
    weights_sha256: str
    preprocessing: Preprocessing

    def on(self, device: str | torch.device = "auto", precision: str | Precision = "fp32") -> LoadedCLIP:
        """Load it, see :meth:`LoadedCLIP.on`."""
        return load_clip(self.name).on(device, precision)


_in_use: WeakValueDictionary[tuple[str, str], LoadedCLIP] = WeakValueDictionary()  # by name and SHA-256
_kept: list[list[LoadedCLIP]] = []  # of each block of clips_kept


def load_clip(name: str) -> LoadedCLIP:
    """The CLIP called ``name``, downloaded when it is not on this machine yet.

    While somebody holds a CLIP, asking for the same weights by the same name returns that one.

    >>> import kdpl
    >>> clip = kdpl.load_clip("demo:student")
    >>> clip.preprocessing.size, clip.towers.text.width
    (64, 64)

    Args:
        name: a name of OpenAI ("ViT-B/32"), "open_clip:<model>/<tag or checkpoint file>", a file with weights in
            OpenAI's layout (TorchScript, state dict or safetensors), "demo:student" or "demo:teacher".

    Raises:
        ValueError: if the name is unknown, or the file holds no CLIP.
        ConnectionError: if weights could not be downloaded.
    """
    sha256 = sha256_of_clip(name)
    path = _weights_file(name)
    load = load_open_clip if name.startswith(OPEN_CLIP_PREFIX) else _load_file
    loaded = _in_use.get((name, sha256)) or load(path, name, sha256)
    _in_use[name, sha256] = loaded
    for clips in _kept:
        clips.append(loaded)
    return loaded


def sha256_of_clip(name: str) -> str:
    """The SHA-256 of a CLIP's weights file, without loading it; a name of OpenAI needs no file for that.

    Raises:
        ValueError, ConnectionError: as :func:`load_clip`.
    """
    check_clip_name(name)
    return OPENAI_WEIGHTS[name][0] if name in OPENAI_WEIGHTS else sha256_of(_weights_file(name))


def _weights_file(name: str) -> Path:
    """The file of a known name, downloaded when it is not on this machine yet."""
    if name.startswith(OPEN_CLIP_PREFIX):
        return open_clip_weights_file(name)
    return openai_weights_file(name) if name in OPENAI_WEIGHTS else Path(DEMO_WEIGHTS.get(name, name))


@cache
def fetch_clip(name: str) -> None:
    """Bring the weights of ``name`` onto this machine, without loading them; once in a process.

    Raises:
        ValueError, ConnectionError: as :func:`load_clip`.
    """
    check_clip_name(name)
    if name.startswith(OPEN_CLIP_PREFIX):
        open_clip_weights_file(name)
    elif name in OPENAI_WEIGHTS:
        openai_weights_file(name)


def _load_file(path: Path, name: str, sha256: str) -> LoadedCLIP:
    if name in DEMO_WEIGHTS:
        from .demo_weights import load_demo_state_dict

        state_dict = load_demo_state_dict(path)
    else:
        state_dict = read_state_dict(path)
    try:
        return openai_clip(clip_from_state_dict(state_dict), name, sha256)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


@contextmanager
def clips_kept() -> Iterator[None]:
    """Within the block every CLIP that is loaded stays in memory, for those who will ask for it again."""
    _kept.append([])
    try:
        yield
    finally:
        _kept.pop()


def check_clip_name(name: str) -> None:
    """Find out in time, without downloading, that ``load_clip`` could not know ``name``.

    Raises:
        ValueError: naming what is possible and what was probably meant.
    """
    if name.startswith(OPEN_CLIP_PREFIX):
        check_open_clip_name(name)
    elif name in DEMO_WEIGHTS:
        if not DEMO_WEIGHTS[name].is_file():
            raise ValueError(
                f"{name} needs {DEMO_WEIGHTS[name]}, which is missing. It is part of KDPL: in its repository "
                f"`git checkout -- kdpl/demo` brings it back; elsewhere use one of {list(OPENAI_WEIGHTS)}."
            )
    elif name not in OPENAI_WEIGHTS and not os.path.isfile(name):
        known = [*OPENAI_WEIGHTS, *DEMO_WEIGHTS]
        raise ValueError(
            f"No CLIP is called {name!r}{did_you_mean(name, known)}. Known are {known}, "
            f'"{OPEN_CLIP_PREFIX}<model>/<tag>" such as {OPEN_CLIP_PREFIX}ViT-H-14-quickgelu/dfn5b, and the path of a '
            f"file with weights in OpenAI's layout (there is no file {os.path.abspath(name)})."
        )
