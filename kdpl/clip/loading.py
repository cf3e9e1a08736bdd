"""Loading a CLIP by name: OpenAI's, open_clip's, from the Hugging Face Hub, from a local file, or the demo pair."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from ..fingerprints import sha256_of
from ..names import HUB_PREFIX, OPEN_CLIP_PREFIX, did_you_mean
from ..outside import check_file
from .demo_weights import DEMO_WEIGHTS, load_demo_state_dict
from .device import machine_memory
from .loaded import LoadedCLIP
from .open_clip_loading import load_open_clip, open_clip_files, open_clip_preprocessing
from .open_clip_names import (
    check_open_clip_name,
    import_open_clip,
    no_text_prompts,
    no_visual_prompts,
    split_name,
)
from .openai import OPENAI_WEIGHTS, RESOLUTIONS, clip_from_state_dict, openai_clip, openai_weights_file
from .precision import Precision
from .towers import Preprocessing
from .transformers_loading import (
    CONFIG,
    folder_weights_file,
    hub_weights_file,
    load_transformers_clip,
    split_hub_name,
)
from .weight_files import read_state_dict


@dataclass(frozen=True)
class DeferredCLIP:
    """A CLIP that is loaded only once it is needed for a computation.

    Attributes:
        weights_sha256, preprocessing, logit_scale: as :class:`LoadedCLIP` has them.
    """

    name: str
    weights_sha256: str
    preprocessing: Preprocessing
    logit_scale: float

    def on(self, device: str | torch.device = "auto", precision: str | Precision = "fp32") -> LoadedCLIP:
        """Load it, see :meth:`LoadedCLIP.on`."""
        return load_clip(self.name).on(device, precision)


KEPT = 6  # CLIPs that stay in memory, at most
KEPT_SHARE = 0.2  # fraction of the machine's memory that they may take
_in_use: WeakValueDictionary[tuple[str, str], LoadedCLIP] = WeakValueDictionary()  # by name and SHA-256
_kept: list[LoadedCLIP] = []  # most recently used last


def load_clip(name: str) -> LoadedCLIP:
    """Load the CLIP called ``name``, downloading it if necessary.

    The most recently used CLIPs stay in memory, as far as it allows. Loading the same weights by the same name again
    returns the same object, unless its model has been modified in place.

    >>> import kdpl
    >>> clip = kdpl.load_clip("demo:student")
    >>> clip.preprocessing.size, clip.towers.text.width
    (64, 64)

    Args:
        name: one of OpenAI's names ("ViT-B/32"), "open_clip:<model>/<tag or checkpoint file>", a CLIPModel of
            transformers as "hf:<organisation>/<name>" or a folder, a file in OpenAI's layout (TorchScript, state dict
            or safetensors), "demo:student" or "demo:teacher".

    Raises:
        ValueError: if the name is unknown, or the file does not contain a CLIP.
        ConnectionError: if the weights could not be downloaded.
    """
    sha256 = sha256_of_clip(name)
    path, load = _locate(name)
    loaded = _in_use.get((name, sha256))
    if loaded is None or loaded.is_changed:
        with torch.inference_mode(False):  # later callers may train with it
            loaded = load(path, name, sha256)
    _in_use[name, sha256] = loaded
    _keep(loaded)
    return loaded


def _keep(clip: LoadedCLIP) -> None:
    """Keep a CLIP in memory for later use, and drop the least recently used ones."""
    key = (clip.name, clip.weights_sha256)
    _kept[:] = [other for other in _kept if (other.name, other.weights_sha256) != key] + [clip]
    while len(_kept) > 1 and (len(_kept) > KEPT or sum(each.n_bytes for each in _kept) > KEPT_SHARE * machine_memory()):
        del _kept[0]


def sha256_of_clip(name: str) -> str:
    """The SHA-256 of a CLIP's weights file, without loading it; for OpenAI's models, even without the file.

    Raises:
        ValueError, ConnectionError: as :func:`load_clip`.
    """
    check_clip_name(name)
    return OPENAI_WEIGHTS[name][0] if name in OPENAI_WEIGHTS else sha256_of(_locate(name)[0])


def _locate(name: str) -> tuple[Path, Callable[[Path, str, str], LoadedCLIP]]:
    """The weights file of a known name, downloaded if necessary, and the function that loads it."""
    if name.startswith(OPEN_CLIP_PREFIX):
        return open_clip_files(name)[0], load_open_clip
    if name.startswith(HUB_PREFIX):
        return hub_weights_file(name), load_transformers_clip
    if _is_folder_of_clip(name):
        return folder_weights_file(name), load_transformers_clip
    return openai_weights_file(name) if name in OPENAI_WEIGHTS else Path(DEMO_WEIGHTS.get(name, name)), _load_file


def _is_folder_of_clip(name: str) -> bool:
    return os.path.isfile(os.path.join(name, CONFIG))


@cache
def fetch_clip(name: str) -> tuple[Path, ...]:
    """Download the files of ``name`` if necessary, without loading them; done once per process.

    Returns:
        Its downloaded or cached files and tokenizer folders; empty for a local file.

    Raises:
        ValueError, ConnectionError: as :func:`load_clip`; when offline, naming all missing files.
    """
    check_clip_name(name)
    if name.startswith(OPEN_CLIP_PREFIX):
        return open_clip_files(name)
    if name.startswith(HUB_PREFIX):
        weights = hub_weights_file(name)
        return weights, weights.parent
    return (openai_weights_file(name),) if name in OPENAI_WEIGHTS else ()


def _load_file(path: Path, name: str, sha256: str) -> LoadedCLIP:
    if name in DEMO_WEIGHTS:
        state_dict = load_demo_state_dict(path)
    else:
        state_dict = read_state_dict(path)
    if "text_projection.weight" in state_dict and (path.parent / CONFIG).is_file():
        return load_transformers_clip(path, name, sha256)
    try:
        return openai_clip(clip_from_state_dict(state_dict), name, sha256)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def known_preprocessing(name: str) -> Preprocessing | None:
    """The preprocessing of a CLIP if its name determines it, else None; downloads nothing.

    >>> known_preprocessing("RN50x4").size
    288
    """
    if name.startswith(OPEN_CLIP_PREFIX):
        return open_clip_preprocessing(name)
    return Preprocessing(RESOLUTIONS[name]) if name in RESOLUTIONS else None


def preprocessing_of(name: str) -> Preprocessing:
    """The preprocessing of a CLIP, which is loaded if its name does not determine it."""
    return known_preprocessing(name) or load_clip(name).preprocessing


def check_image_size(name: str, size: Sequence[int], preprocessing: Preprocessing | None) -> None:
    """Refuse an image size that differs from the student's.

    Args:
        size: INPUT.SIZE, (height, width) in pixels; empty: the student's.
        preprocessing: the student's, if known.

    Raises:
        ValueError: if they differ.
    """
    resolution = preprocessing and preprocessing.size
    if size and resolution and tuple(size) != (resolution, resolution):
        raise ValueError(
            f"INPUT.SIZE is {tuple(size)}, but {name} takes images of {resolution} x {resolution} pixels. "
            f'Set INPUT.SIZE "({resolution},{resolution})", leave it out, or choose another MODEL.BACKBONE.NAME.'
        )


def check_normalized(transforms: Sequence[str]) -> None:
    """Refuse INPUT.TRANSFORMS without "normalize": CLIP would see pixel values unlike any in its pretraining.

    Raises:
        ValueError: if "normalize" is missing.
    """
    if "normalize" not in transforms:
        raise ValueError(
            f"INPUT.TRANSFORMS is {list(transforms)!r}, without 'normalize': CLIP would see unnormalised images in "
            "training and testing, and accuracies would be wrong. Add normalize, or pass a --config-file, which has "
            'it. If you do want raw pixels, add normalize with INPUT.PIXEL_MEAN "[0,0,0]" INPUT.PIXEL_STD "[1,1,1]".'
        )


def why_no_prompts(name: str, text: bool = False, visual: bool = False) -> str:
    """Why a CLIP takes no text or visual prompts, judging by its name; empty if it does, or if its name does not tell.

    >>> why_no_prompts("RN50", text=True), why_no_prompts("RN50", visual=True)
    ('', 'its image tower is a ResNet')
    """
    if name.startswith(OPEN_CLIP_PREFIX):
        config = import_open_clip().get_model_config(split_name(name)[0])
        return (text and no_text_prompts(config)) or (visual and no_visual_prompts(config)) or ""
    return "its image tower is a ResNet" if visual and name in OPENAI_WEIGHTS and name.startswith("RN") else ""


def check_clip_name(name: str) -> None:
    """Refuse a name that ``load_clip`` would not know, without downloading anything.

    Raises:
        ValueError: listing valid names and what was probably meant.
    """
    if not name:
        raise ValueError(
            "No CLIP was given. Name one, such as ViT-B/32; for train.py, as --backbone or MODEL.BACKBONE.NAME."
        )
    if name.startswith(OPEN_CLIP_PREFIX):
        check_open_clip_name(name)
    elif name.startswith(HUB_PREFIX):
        split_hub_name(name)
        import_open_clip()
    elif _is_folder_of_clip(name):
        folder_weights_file(name)
    elif name in DEMO_WEIGHTS:
        if not DEMO_WEIGHTS[name].is_file():
            raise ValueError(
                f"{name} needs {DEMO_WEIGHTS[name]}, which is missing although it is part of KDPL. In a checkout, "
                f"restore it with `git checkout -- kdpl/demo`; otherwise use one of {list(OPENAI_WEIGHTS)}."
            )
    elif name not in OPENAI_WEIGHTS and os.path.sep in name and os.path.exists(name):
        check_file(name, "file with the weights of a CLIP")
    elif name not in OPENAI_WEIGHTS and not os.path.isfile(name):
        known = [*OPENAI_WEIGHTS, *DEMO_WEIGHTS]
        raise ValueError(
            f"No CLIP is called {name!r}{did_you_mean(name, known)}. Choose from {known}, "
            f'"{OPEN_CLIP_PREFIX}<model>/<tag>" such as {OPEN_CLIP_PREFIX}ViT-H-14-quickgelu/dfn5b, '
            f'"{HUB_PREFIX}<organisation>/<name>" on the Hugging Face Hub, or the path of a weights file in OpenAI\'s '
            f"layout ({os.path.abspath(name)} does not exist)."
        )
