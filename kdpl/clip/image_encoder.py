"""An image tower; a ViT may be given visual prompts."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .towers import Towers, VisionTower, finish, project


class ImageEncoder(nn.Module):
    """A CLIP's image tower; a ViT may be given visual prompts."""

    def __init__(self, towers: Towers):
        super().__init__()
        self.towers = towers

    def forward(self, image: Tensor, visual: Tensor | None = None, deep_visual: Sequence[Tensor] = ()) -> Tensor:
        """
        Args:
            image: (batch, 3, size, size), normalised.
            visual: (n_vis, width), appended after the patches.
            deep_visual: of blocks 1, 2, ...: (n_vis, width), put in place of the appended tokens when the block is
                entered.

        Returns:
            (batch, embed_dim), as they leave the tower: not normalised.

        Raises:
            ValueError: if there are visual prompts and the tower does not take them, such as a ResNet.
        """
        tower = self.towers.vision
        if tower is None:
            if visual is not None:
                raise ValueError("Visual prompts need a ViT; this CLIP's image tower does not take them.")
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
            else:  # of the last block only these tokens are needed
                k, v = project(block, x, "kv")
                x = x[:, read]
                (q,) = project(block, x, "q")
            x = finish(block, x, F.scaled_dot_product_attention(q, k, v))
        if not tower.averages:
            return tower.ln_post(x[:, 0]) @ tower.projection
        x = tower.ln_post(x.mean(dim=1)) if tower.norm_after_mean else tower.ln_post(x).mean(dim=1)
        return x @ tower.projection


class FrozenTower(NamedTuple):
    """An image tower that no training changes.

    Attributes:
        identity: plain values that tell its features from those of other towers.
        encode: images (n, 3, size, size) -> normalised features (n, width).
    """

    identity: list[dict[str, Any]]
    encode: Callable[[Tensor], Tensor]

    def __call__(self, image: Tensor) -> Tensor:
        return self.encode(image)


def _embed(tower: VisionTower, image: Tensor) -> Tensor:
    """(batch, 3, size, size) -> class token and patches with their positions, (batch, 1 + patches, width)."""
    x = tower.patches(image).flatten(2).transpose(1, 2)
    return torch.cat([tower.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1) + tower.positions
