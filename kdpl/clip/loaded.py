"""A loaded CLIP: its model, how its towers read, and what identifies its weights."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from ..fingerprints import fingerprint, tensors_fingerprint
from .device import resolve_device
from .precision import Precision, resolve_precision
from .towers import Preprocessing, Towers


@dataclass(frozen=True, eq=False)
class LoadedCLIP:
    """A frozen CLIP; it is never changed in place, so several users may share it.

    >>> import kdpl
    >>> clip = kdpl.load_clip("demo:student")
    >>> half = clip.on("cpu", "bf16")  # a copy, made once
    >>> half is clip.on("cpu", "bf16"), half.fingerprint == clip.fingerprint
    (True, True)

    Attributes:
        name: as asked for.
        model: in evaluation mode; no parameter asks for a gradient. As loaded: float32, on the CPU.
        tokenize: texts -> (n, context_length) token ids, int64. A text that is too long is a ValueError naming it.
        describe: model and tokenize -> its towers.
        preprocessing: what its images must look like.
        weights_sha256: of the weights file.
        variant: a hash of what the model computes beyond its tensors, such as its activation; empty for OpenAI's CLIPs.
        source: repository and commit of what came from a hub, and those of the tokenizer.
        original: the CLIP as loaded, where this one is a copy of it for a device and a precision.
    """

    name: str
    model: nn.Module
    tokenize: Callable[[list[str]], Tensor]
    describe: Callable[[nn.Module, Callable[[list[str]], Tensor]], Towers]
    preprocessing: Preprocessing
    weights_sha256: str
    variant: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    original: "LoadedCLIP | None" = None
    _copies: MutableMapping[tuple[torch.device, torch.dtype], "LoadedCLIP"] = field(
        default_factory=WeakValueDictionary, repr=False
    )  # weakly, as cards have less memory than machines

    def __post_init__(self):
        object.__setattr__(self, "_as_loaded", self._state)

    @property
    def _state(self) -> list[tuple[int, int, bool]]:
        """What changes when a tensor is written to, converted or moved, or asked for a gradient."""
        return [(tensor.data_ptr(), tensor._version, tensor.requires_grad) for tensor in self._tensors()]

    def _tensors(self) -> Iterator[Tensor]:
        return itertools.chain(self.model.parameters(), self.model.buffers())

    @property
    def is_changed(self) -> bool:
        """Whether somebody has changed the model in place, against the rule."""
        return self.model.training or self._state != self._as_loaded

    @cached_property
    def n_bytes(self) -> int:
        """Of the tensors."""
        return sum(tensor.nbytes for tensor in self._tensors())

    @cached_property
    def towers(self) -> Towers:
        return self.describe(self.model, self.tokenize)

    @property
    def logit_scale(self) -> float:
        """The factor of the cosines: the exponential of what CLIP stores."""
        return float(self.model.logit_scale.float().exp())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the float32 tensors and the variant: the same for all file formats that hold these weights."""
        if self.original is not None:
            return self.original.fingerprint
        floats = {name: t.float() for name, t in self.model.state_dict().items() if t.is_floating_point()}
        found = tensors_fingerprint(floats)
        return fingerprint([found, self.variant]) if self.variant else found

    def on(self, device: str | torch.device = "auto", precision: str | Precision = "fp32") -> "LoadedCLIP":
        """This CLIP on a device with its frozen weights in a precision; a copy is shared while somebody holds it.

        Raises:
            ValueError: if there is no such device or precision.
        """
        if self.original is not None:
            return self.original.on(device, precision)
        device = resolve_device(device)
        dtype = resolve_precision(precision, device).weights_dtype
        if (device.type, dtype) == ("cpu", torch.float32):
            return self
        copied = self._copies.get((device, dtype))
        if copied is None:
            with torch.inference_mode(False):  # others will train with it, whatever this caller does
                model = resolve_precision(precision, device).cast_frozen(copy.deepcopy(self.model)).to(device)
            copied = self._copies[device, dtype] = replace(self, model=model, original=self, _copies={})
        return copied
