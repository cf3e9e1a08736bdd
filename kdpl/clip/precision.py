"""What a precision means on a device: how the frozen weights are stored and what autocast does."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from ..settings import AUTO

PRECISIONS = ("fp32", "bf16", "fp16", "amp", AUTO)
BF16_FROM = 8  # compute capability of cards that multiply bf16 matrices


@dataclass(frozen=True)
class Precision:
    """Prompts and the residual stream stay in float32 in every case; matrix products follow ``autocast_dtype``."""

    name: str
    device_type: str
    weights_dtype: torch.dtype = torch.float32
    autocast_dtype: torch.dtype | None = None

    def autocast(self) -> AbstractContextManager:
        """The context that forward passes run in."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.autocast_dtype)

    @property
    def needs_loss_scaling(self) -> bool:
        """Gradients in half precision would underflow without a scaler."""
        return self.autocast_dtype == torch.float16

    def cast_frozen(self, clip: nn.Module) -> nn.Module:
        """Store matrices and convolutions of a frozen model in this precision; norms and embeddings stay float32."""
        for module in clip.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.MultiheadAttention)):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(self.weights_dtype)
        return clip


def resolve_precision(name: str | Precision, device: torch.device, key: str = "precision") -> Precision:
    """The precision that ``name`` stands for on a device; float16 away from a GPU becomes float32, with a notice.

    fp32; bf16 and fp16: frozen weights stored in half precision, under autocast; amp: float32 weights under float16
    autocast; auto: bf16, which needs no loss scaling, on cards that have it, fp16 on older ones, else fp32.

    Args:
        key: what the user calls this setting, for messages.

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
        print(f"{key} {name} needs a CUDA GPU: computing in fp32 on this {device.type.upper()}.")
        name = "fp32"
    weights = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name, torch.float32)
    autocast = {"bf16": torch.bfloat16, "fp16": torch.float16, "amp": torch.float16}.get(name)
    return Precision(name, device.type, weights, autocast)


def check_precision(name: str, key: str = "precision") -> None:
    """Refuse a precision that does not exist.

    Raises:
        ValueError: listing those that do.
    """
    if name not in PRECISIONS:
        raise ValueError(f"{key} is {name!r}; choose from {', '.join(PRECISIONS)}.")


def grad_scaler() -> "torch.amp.GradScaler":
    """The loss scaler of float16 training, under whichever name this torch has it."""
    return torch.amp.GradScaler("cuda") if hasattr(torch.amp, "GradScaler") else torch.cuda.amp.GradScaler()
