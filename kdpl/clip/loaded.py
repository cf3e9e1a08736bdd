"""A loaded CLIP: the model, a description of its towers, and the identity of its weights."""

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
    """A frozen CLIP. It is never changed in place, so it can be shared.

    >>> import kdpl
    >>> clip = kdpl.load_clip("demo:student")
    >>> half = clip.on("cpu", "bf16")  # a copy, created once
    >>> half is clip.on("cpu", "bf16"), half.fingerprint == clip.fingerprint
    (True, True)

    Attributes:
        name: the name it was requested by.
        model: in evaluation mode, without gradients; as loaded, in float32 on the CPU.
        tokenize: texts -> (n, context_length) token ids, int64; raises ValueError for a text that is too long.
        describe: model and tokenize -> description of its towers.
        preprocessing: the input that its image tower expects.
        weights_sha256: hash of the weights file.
        variant: hash of everything the tensors do not determine, such as the activation; empty for OpenAI's CLIPs.
        source: repository and commit of weights and tokenizer that came from the Hub.
        original: the CLIP that this one is a copy of, for another device or precision.
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
    )  # weak references, because GPUs have little memory

    def __post_init__(self):
        object.__setattr__(self, "_as_loaded", self._state)

    @property
    def _state(self) -> list[tuple[int, int, bool]]:
        """Values that change when a tensor is modified, converted, moved, or made to require a gradient."""
        return [(tensor.data_ptr(), tensor._version, tensor.requires_grad) for tensor in self._tensors()]

    def _tensors(self) -> Iterator[Tensor]:
        return itertools.chain(self.model.parameters(), self.model.buffers())

    @property
    def is_changed(self) -> bool:
        """Whether the model has been modified in place, although it must not be."""
        return self.model.training or self._state != self._as_loaded

    @cached_property
    def n_bytes(self) -> int:
        """Size of the tensors."""
        return sum(tensor.nbytes for tensor in self._tensors())

    @cached_property
    def towers(self) -> Towers:
        return self.describe(self.model, self.tokenize)

    @property
    def logit_scale(self) -> float:
        """The factor applied to cosine similarities: the exponential of the stored value."""
        return float(self.model.logit_scale.float().exp())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the float32 tensors and the variant, which does not depend on the file format."""
        if self.original is not None:
            return self.original.fingerprint
        floats = {name: t.float() for name, t in self.model.state_dict().items() if t.is_floating_point()}
        found = tensors_fingerprint(floats)
        return fingerprint([found, self.variant]) if self.variant else found

    def on(self, device: str | torch.device = "auto", precision: str | Precision = "fp32") -> "LoadedCLIP":
        """This CLIP on a device, with its frozen weights in a precision; a copy is shared while it is in use.

        Raises:
            ValueError: if the device or precision does not exist.
        """
        if self.original is not None:
            return self.original.on(device, precision)
        device = resolve_device(device)
        dtype = resolve_precision(precision, device).weights_dtype
        if (device.type, dtype) == ("cpu", torch.float32):
            return self
        copied = self._copies.get((device, dtype))
        if copied is None:
            with torch.inference_mode(False):  # other users of the copy may train prompts with it
                model = resolve_precision(precision, device).cast_frozen(copy.deepcopy(self.model)).to(device)
            copied = self._copies[device, dtype] = replace(self, model=model, original=self, _copies={})
        return copied
