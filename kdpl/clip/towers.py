"""Descriptions of CLIP towers: everything that differs between CLIPs in how they process text and images.

Encoders, class tokens and transforms rely on these descriptions; nothing else depends on which library a CLIP is from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
QUICK_GELU_FACTOR = 1.702


@dataclass(frozen=True)
class Preprocessing:
    """The input that an image tower expects.

    Attributes:
        size: side of the square image, in pixels.
        mean, std: pixel normalisation, for RGB values from 0 to 1.
        resize: "shortest" resizes the shorter side and crops the centre; "squash" changes the aspect ratio.
        interpolation: "bicubic", "bilinear" or "nearest".
    """

    size: int
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    resize: str = "shortest"
    interpolation: str = "bicubic"

    def changed_by(self, node: Mapping[str, Any]) -> "Preprocessing":
        """Override with the non-empty values of a configuration's INPUT node."""
        own = {"size": node["SIZE"] and node["SIZE"][0], "mean": tuple(node["PIXEL_MEAN"]),
               "std": tuple(node["PIXEL_STD"]), "resize": node["RESIZE"],
               "interpolation": node["INTERPOLATION"]}  # fmt: skip
        return replace(self, **{name: value for name, value in own.items() if value})

    def as_input(self) -> dict[str, Any]:
        """In the form of a configuration's INPUT node."""
        size, mean, std = (self.size, self.size), list(self.mean), list(self.std)
        return {"SIZE": size, "PIXEL_MEAN": mean, "PIXEL_STD": std, "RESIZE": self.resize,
                "INTERPOLATION": self.interpolation}  # fmt: skip


@dataclass(frozen=True, eq=False)
class TextTower:
    """A text transformer that takes embedded prompts.

    Attributes:
        tokenize: texts -> (n, context_length) token ids, int64; raises ValueError for a text that is too long.
        end_of_text: (n, context_length) token ids -> (n,) positions at which the texts end.
        embedding: token ids -> (..., width).
        positions: (context_length, width), added to the embedded tokens.
        blocks: residual attention blocks, see :func:`project`.
        projection: (width, embed_dim), or an equivalent layer; None if features have the tower's width.
        n_start: number of tokens before the words, such as one start-of-text token.
        causal: whether a token attends only to itself and earlier tokens.
        reads_end: whether the feature is read at the end-of-text token; otherwise at the last position.
        counts_words: whether a context initialised from words has one vector per word, as in the published methods on
            OpenAI's CLIPs, instead of one per token.
    """

    tokenize: Callable[[list[str]], Tensor]
    end_of_text: Callable[[Tensor], Tensor]
    embedding: nn.Embedding
    positions: Tensor
    blocks: Sequence[nn.Module]
    ln_final: nn.Module
    projection: Tensor | nn.Linear | None
    n_start: int = 1
    causal: bool = True
    reads_end: bool = True
    counts_words: bool = False

    @property
    def width(self) -> int:
        return self.positions.shape[1]

    @property
    def embed_dim(self) -> int:
        if self.projection is None:
            return self.width
        return self.projection.out_features if isinstance(self.projection, nn.Linear) else self.projection.shape[1]

    def features(self, x: Tensor) -> Tensor:
        """Final norm and projection: (n, width) from the last block -> (n, embed_dim), not normalised."""
        x = self.ln_final(x)
        if self.projection is None:
            return x
        return self.projection(x) if isinstance(self.projection, nn.Linear) else x @ self.projection

    def n_words(self, text: str) -> int:
        """Number of context vectors for a text: its tokens or, with ``counts_words``, its words."""
        if self.counts_words:
            return len(text.split(" ")) if text else 0
        return int(self.end_of_text(self.tokenize([text]))) - self.n_start

    @property
    def can_cut(self) -> bool:
        """Whether sequences can be cut after the end of the text, because later tokens do not affect the feature.

        Causal attention also gives a shared prefix the same keys and values in all texts.
        """
        return self.causal and self.reads_end

    def n_tokens(self, tokens: Tensor) -> Tensor:
        """(n, context_length) token ids -> (n,), number of positions that each text needs."""
        if self.can_cut:
            return self.end_of_text(tokens) + 1
        return torch.full((len(tokens),), tokens.shape[1], device=tokens.device)

    def read_positions(self, tokens: Tensor) -> Tensor:
        """(n, context_length) token ids -> (n,), position at which each text's feature is read."""
        return self.end_of_text(tokens) if self.reads_end else self.n_tokens(tokens) - 1


@dataclass(frozen=True, eq=False)
class VisionTower:
    """A Vision Transformer that takes visual prompts.

    Attributes:
        patches: image (batch, 3, size, size) -> (batch, width, rows, columns).
        class_embedding: (width,).
        positions: (1 + rows * columns, width).
        blocks: residual attention blocks, see :func:`project`.
        projection: (width, embed_dim).
        averages: whether the feature is the mean over patches (prompts excluded); otherwise the class token's.
        norm_after_mean: whether ``ln_post`` is applied after the mean instead of before.
    """

    patches: nn.Module
    class_embedding: Tensor
    positions: Tensor
    ln_pre: nn.Module
    blocks: Sequence[nn.Module]
    ln_post: nn.Module
    projection: Tensor
    averages: bool = False
    norm_after_mean: bool = False

    @property
    def width(self) -> int:
        return self.positions.shape[1]


class Towers(NamedTuple):
    """The two towers of a CLIP.

    ``text`` and ``vision`` describe towers that take prompts, and are None for others. The two functions encode token
    ids and images for any tower, without normalising.
    """

    text: TextTower | None
    vision: VisionTower | None
    encode_text: Callable[[Tensor], Tensor]
    encode_image: Callable[[Tensor], Tensor]


def openai_towers(model: nn.Module, tokenize: Callable[[list[str]], Tensor]) -> Towers:
    """The towers of a ``clip.model.CLIP``: a causal text transformer, and a ViT or a ResNet."""
    text = TextTower(
        tokenize=tokenize,
        end_of_text=lambda tokens: tokens.argmax(dim=-1),  # end-of-text has the highest token id
        embedding=model.token_embedding,
        positions=model.positional_embedding,
        blocks=model.transformer.resblocks,
        ln_final=model.ln_final,
        projection=model.text_projection,
        counts_words=True,
    )
    visual = model.visual
    vision = None
    if hasattr(visual, "transformer"):
        vision = VisionTower(
            patches=visual.conv1,
            class_embedding=visual.class_embedding,
            positions=visual.positional_embedding,
            ln_pre=visual.ln_pre,
            blocks=visual.transformer.resblocks,
            ln_post=visual.ln_post,
            projection=visual.proj,
        )
    return Towers(text, vision, model.encode_text, visual)


def project(block: nn.Module, x: Tensor, which: str) -> tuple[Tensor, ...]:
    """Queries, keys and values ("qkv", "kv" or "q") of a block's attention, each (..., heads, tokens, head_dim)."""
    attn, width = block.attn, x.shape[-1]
    start = "qkv".index(which) * width
    stop = start + len(which) * width
    projected = F.linear(block.ln_1(x), attn.in_proj_weight[start:stop], attn.in_proj_bias[start:stop])
    return tuple(part.unflatten(-1, (attn.num_heads, -1)).transpose(-3, -2) for part in projected.chunk(len(which), -1))


def finish(block: nn.Module, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a residual block, given the attention output (..., heads, tokens, head_dim)."""
    x = x + _scaled(block, "ls_1", block.attn.out_proj(attended.transpose(-3, -2).flatten(-2)))
    added, factor = _feed_forward(block.mlp, block.ln_2(x))
    return torch.add(x, _scaled(block, "ls_2", added), alpha=1 / factor)


def _feed_forward(mlp: nn.Module, x: Tensor) -> tuple[Tensor, float]:
    """mlp(x) times a factor, and that factor, with fewer passes over the hidden activations, the widest of a block.

    QuickGELU, y * sigmoid(1.702 y), is silu(1.702 y) / 1.702. A matrix product takes the first factor and the residual
    sum the second. That leaves one pass forward and one backward, of three and five.
    """
    c_fc, c_proj = getattr(mlp, "c_fc", None), getattr(mlp, "c_proj", None)
    if not (type(c_fc) is type(c_proj) is nn.Linear and type(getattr(mlp, "gelu", None)).__name__ == "QuickGELU"):
        return mlp(x), 1  # another activation, or layers with something added to them
    a = QUICK_GELU_FACTOR
    hidden = F.silu(torch.addmm(c_fc.bias, x.flatten(0, -2), c_fc.weight.t(), beta=a, alpha=a))
    return torch.addmm(c_proj.bias, hidden, c_proj.weight.t(), beta=a).view_as(x), a


def _scaled(block: nn.Module, name: str, x: Tensor) -> Tensor:
    """Apply the block's LayerScale, if it has one."""
    return getattr(block, name)(x) if hasattr(block, name) else x


def normalise(features: Tensor) -> Tensor:
    """Normalise to unit length along the last dimension, in float32."""
    return F.normalize(features.float(), dim=-1)
