"""CLIPs with random weights in their real sizes, to measure times without downloading anything."""

import importlib
from functools import lru_cache

import torch

from ..clip.loaded import LoadedCLIP
from ..clip.openai import openai_clip
from ..import_guards import import_clip
from ..names import check_known

# Arguments of clip.model.CLIP: embed_dim; image size, layers, width and patch size; then, for the text tower, context
# length, vocabulary size, width, heads and layers.
ARCHITECTURES = {
    "ViT-B/32": (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12),
    "ViT-B/16": (512, 224, 12, 768, 16, 77, 49408, 512, 8, 12),
    "ViT-L/14": (768, 224, 24, 1024, 14, 77, 49408, 768, 12, 12),
    "tiny": (64, 64, 2, 64, 16, 77, 49408, 64, 1, 2),
}


def random_clip(name: str, seed: int = 0) -> LoadedCLIP:
    """A frozen CLIP with this architecture and weights drawn from a seed.

    >>> random_clip("tiny").preprocessing.size
    64

    Raises:
        ValueError: if the architecture is unknown, listing the known ones.
    """
    check_known(name, ARCHITECTURES, "architecture", "a random CLIP")
    model_class = importlib.import_module(f"{import_clip().__name__}.model").CLIP
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(*ARCHITECTURES[name]).eval()
        # With CLIP's own initialisation all texts get nearly the same features, which would hide differences.
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return openai_clip(model, name, weights_sha256=f"random {name} {seed}")


kept_clip = lru_cache(2)(random_clip)  # keeps a student and a teacher in memory


def image_flops(name: str) -> float:
    """Floating-point operations in the matrix products of the image tower, per image.

    >>> round(image_flops("ViT-L/14") / 1e9)  # papers give 81 G multiply-adds
    162
    """
    embed_dim, size, layers, width, patch = ARCHITECTURES[name][:5]
    tokens = (size // patch) ** 2 + 1
    per_block = 24 * tokens * width**2 + 4 * tokens**2 * width
    return float(2 * (tokens - 1) * 3 * patch**2 * width + layers * per_block + 2 * width * embed_dim)
