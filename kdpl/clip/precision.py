"""Numerical precision: how frozen weights are stored, and the autocast type, on a given device."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from ..settings import AUTO

PRECISIONS = ("fp32", "bf16", "fp16", "amp", AUTO)
BF16_FROM = 8  # lowest compute capability with bf16 matrix products


@dataclass(frozen=True)
class Precision:
    """Matrix products run in ``autocast_dtype``; prompts and the residual stream always stay in float32."""

    name: str
    device_type: str
    weights_dtype: torch.dtype = torch.float32
    autocast_dtype: torch.dtype | None = None

    def autocast(self) -> AbstractContextManager:
        """The context for forward passes."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.autocast_dtype)

    @property
    def needs_loss_scaling(self) -> bool:
        """Whether gradients would underflow without a loss scaler."""
        return self.autocast_dtype == torch.float16

    def cast_frozen(self, clip: nn.Module) -> nn.Module:
        """Cast linear, convolution and attention weights of a frozen model; norms and embeddings stay in float32."""
        for module in clip.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.MultiheadAttention)):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(self.weights_dtype)
        return clip


def resolve_precision(name: str | Precision, device: torch.device, key: str = "precision") -> Precision:
    """The precision called ``name`` on a device; without CUDA, float16 falls back to float32, with a notice.

    "bf16" and "fp16" store frozen weights in half precision and use autocast; "amp" uses float32 weights under float16
    autocast; "auto" means bf16, which needs no loss scaling, on GPUs that support it, fp16 on older ones, and fp32
    otherwise.

    Args:
        key: name of the setting, for messages.

    Raises:
        ValueError: if the name is unknown.
    """
    if isinstance(name, Precision):
        return name
    check_precision(name, key)
    if name == AUTO:
        half = device.type == "cuda" and (
            "bf16" if torch.cuda.get_device_capability(device)[0] >= BF16_FROM else "fp16"
        )
        name = half or "fp32"
    if name in ("fp16", "amp") and device.type != "cuda":
        print(f"{key} {name} needs a CUDA GPU; using fp32 on this {device.type.upper()}.")
        name = "fp32"
    weights = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name, torch.float32)
    autocast = {"bf16": torch.bfloat16, "fp16": torch.float16, "amp": torch.float16}.get(name)
    return Precision(name, device.type, weights, autocast)


def check_precision(name: str, key: str = "precision") -> None:
    """Refuse an unknown precision.

    Raises:
        ValueError: listing the known ones.
    """
    if name not in PRECISIONS:
        raise ValueError(f"{key} is {name!r}; choose from {', '.join(PRECISIONS)}.")


def grad_scaler() -> "torch.amp.GradScaler":
    """The loss scaler for float16 training, for old and new versions of torch."""
    return torch.amp.GradScaler("cuda") if hasattr(torch.amp, "GradScaler") else torch.cuda.amp.GradScaler()
