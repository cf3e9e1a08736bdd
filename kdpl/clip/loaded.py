"""A loaded CLIP: its model, how its towers read, and what identifies its weights."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

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
    _copies: dict[tuple[torch.device, torch.dtype], "LoadedCLIP"] = field(default_factory=dict, repr=False)

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
        """This CLIP on a device with its frozen weights in a precision; made once, then shared.

        Raises:
            ValueError: if there is no such device or precision.
        """
        if self.original is not None:
            return self.original.on(device, precision)
        device = resolve_device(device)
        dtype = resolve_precision(precision, device).weights_dtype
        if (device.type, dtype) == ("cpu", torch.float32):
            return self
        if (device, dtype) not in self._copies:
            model = resolve_precision(precision, device).cast_frozen(copy.deepcopy(self.model)).to(device)
            self._copies[device, dtype] = replace(self, model=model, original=self, _copies={})
        return self._copies[device, dtype]
