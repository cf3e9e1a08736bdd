"""An image tower, with visual prompts if it is a ViT."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .towers import Towers, VisionTower, finish, project


class ImageEncoder(nn.Module):
    """A CLIP's image tower, with visual prompts if it is a ViT."""

    def __init__(self, towers: Towers):
        super().__init__()
        self.towers = towers

    def forward(self, image: Tensor, visual: Tensor | None = None, deep_visual: Sequence[Tensor] = ()) -> Tensor:
        """
        Args:
            image: (batch, 3, size, size), normalised.
            visual: (n_vis, width), appended after the patches.
            deep_visual: for blocks 1, 2, ...: (n_vis, width), which replace the appended tokens at the block's input.

        Returns:
            (batch, embed_dim), not normalised.

        Raises:
            ValueError: if visual prompts are given to a tower without support for them, such as a ResNet.
        """
        tower = self.towers.vision
        if tower is None:
            if visual is not None:
                raise ValueError("Visual prompts need a ViT; this CLIP's image tower does not support them.")
            return self.towers.encode_image(image)
        x = _embed(tower, image)
        read = slice(1, x.shape[1]) if tower.averages else slice(1)  # the patches, or the class token
        if visual is not None:
            x = torch.cat([x, visual.to(x.dtype).expand(x.shape[0], -1, -1)], dim=1)
        x = tower.ln_pre(x)
        for i, block in enumerate(tower.blocks):
            if 0 < i <= len(deep_visual):
                deep = deep_visual[i - 1].to(x.dtype).expand(x.shape[0], -1, -1)
                x = torch.cat([x[:, : -deep.shape[1]], deep], dim=1)
            if i + 1 < len(tower.blocks):
                q, k, v = project(block, x, "qkv")
            else:  # the last block computes only the tokens that are read
                k, v = project(block, x, "kv")
                x = x[:, read]
                (q,) = project(block, x, "q")
            x = finish(block, x, F.scaled_dot_product_attention(q, k, v))
        if not tower.averages:
            return tower.ln_post(x[:, 0]) @ tower.projection
        x = tower.ln_post(x.mean(dim=1)) if tower.norm_after_mean else tower.ln_post(x).mean(dim=1)
        return x @ tower.projection


class FrozenTower(NamedTuple):
    """A frozen image tower.

    Attributes:
        identity: plain values that identify its features.
        encode: images (n, 3, height, width) -> normalised features (n, width).
        size: side of the images that it reads, in pixels.
    """

    identity: list[dict[str, Any]]
    encode: Callable[[Tensor], Tensor]
    size: int

    def __call__(self, image: Tensor) -> Tensor:
        return self.encode(image)


def _embed(tower: VisionTower, image: Tensor) -> Tensor:
    """(batch, 3, size, size) -> class token and patches with positions added, (batch, 1 + patches, width)."""
    x = tower.patches(image).flatten(2).transpose(1, 2)
    return torch.cat([tower.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1) + tower.positions
