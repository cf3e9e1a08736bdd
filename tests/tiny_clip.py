"""CLIPs with random weights, small enough to run in milliseconds."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kdpl.clip import openai
from kdpl.clip.loaded import LoadedCLIP
from kdpl.import_guards import import_clip

import_clip()
from clip.model import CLIP  # noqa: E402

CLASSNAMES = ["dog", "grand piano", "wild_cat", "hot air balloon", "axolotl"]
SIZES = {
    "vit": {"image_resolution": 32, "vision_layers": 4, "vision_width": 128, "vision_patch_size": 8},
    "resnet": {"image_resolution": 64, "vision_layers": (1, 1, 1, 1), "vision_width": 8, "vision_patch_size": None},
}


def tiny_clip(kind: str = "vit", seed: int = 0) -> CLIP:
    """A frozen CLIP with 4 blocks per tower, vision width 128, text width 64 and shared dimension 32."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIP(
            embed_dim=32, **SIZES[kind], context_length=77, vocab_size=49408,
            transformer_width=64, transformer_heads=1, transformer_layers=4,
        )  # fmt: skip
        for parameter in model.parameters():  # CLIP's initial text weights are too small for differences to show
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model.eval().requires_grad_(False)


def save_student_and_teacher(folder: Path) -> Path:
    """Save two of them as student.safetensors and teacher.safetensors."""
    for name, seed in (("student", 1), ("teacher", 2)):
        state = {key: tensor.contiguous() for key, tensor in tiny_clip("vit", seed).state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")
    return folder


def loaded(kind: str = "vit", seed: int = 0) -> LoadedCLIP:
    """The same in the form that trainers get, with the name "tiny <kind>"."""
    return replace(openai.openai_clip(tiny_clip(kind, seed), f"tiny {kind}", f"{kind}-{seed}"), tokenize=tokenize)


@cache
def _tokenized(texts: tuple[str, ...]) -> Tensor:
    return openai.tokenize(list(texts))


def tokenize(texts: list[str]) -> Tensor:
    return _tokenized(tuple(texts))


def images(n: int, model: CLIP, seed: int = 0) -> Tensor:
    """(n, 3, resolution, resolution) of standard normal numbers."""
    size = model.visual.input_resolution
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))
