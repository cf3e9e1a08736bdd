"""What every prompt learner is: the owner of all learned tensors, which it hands out as one Prompts record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..encoders import is_vit
from .class_tokens import ClassTokens


@dataclass(frozen=True)
class Prompts:
    """Everything learned that enters the two towers; what a method does not learn is empty."""

    ctx: Tensor | None = None  # (groups, n_ctx, text width): one group, or one an image; class-specific: (n_cls, ...)
    deep_text: Sequence[Tensor] = ()  # for blocks 1, 2, ...: (n_ctx, text width)
    visual: Tensor | None = None  # (n_vis, vision width)
    deep_visual: Sequence[Tensor] = ()  # for blocks 1, 2, ...: (n_vis, vision width)


class PromptLearner(nn.Module):
    """Base of the five prompt learners.

    Attributes:
        words: the words before the class name; the first ``n_ctx`` of them give way to learned vectors.
        class_specific: whether each class has a context of its own.
        official_names: our tensor names -> those of the published checkpoints, where they differ.
    """

    words: str
    n_ctx: int = 0
    class_token_position: str = "end"
    class_specific: bool = False
    learns_text: bool = True
    official_names: dict[str, str] = {}

    def class_tokens(self, classnames: Sequence[str], tokenize: Callable[[list[str]], Tensor]) -> ClassTokens:
        """The prompts' words for these classes."""
        return ClassTokens(classnames, self.words, self.n_ctx, tokenize, self.class_token_position)

    def forward(self) -> Prompts:
        """The prompts that do not depend on the image."""
        raise NotImplementedError

    def for_images(self, prompts: Prompts, image_features: Tensor) -> Prompts:
        """The prompts for these images, (batch, embed_dim) normalised features; the same unless a method says so."""
        return prompts

    def is_beyond_towers(self, official_name: str) -> bool:
        """Whether a tensor of a published file is for a block that there is not; nothing depends on it."""
        return False

    @property
    def depends_on_image(self) -> bool:
        return type(self).for_images is not PromptLearner.for_images


def initial_context(
    clip: nn.Module, tokenize: Callable[[list[str]], Tensor], n_ctx: int, ctx_init: str
) -> tuple[Tensor, str]:
    """Context vectors (n_ctx, width) to start from, and the words that they stand in for.

    With ``ctx_init`` they are its first ``n_ctx`` token embeddings, else normal(0, 0.02) in place of "X X ...".
    """
    if ctx_init:
        tokens = tokenize([ctx_init])[0, 1 : 1 + n_ctx].to(clip.token_embedding.weight.device)
        with torch.no_grad():
            return clip.token_embedding(tokens).float(), ctx_init
    return random_prompts(n_ctx, clip.token_embedding.embedding_dim), " ".join(["X"] * n_ctx)


def random_prompts(n: int, width: int) -> Tensor:
    """(n, width) vectors from normal(0, 0.02)."""
    return nn.init.normal_(torch.empty(n, width), std=0.02)


def prompt_list(n_deep: int, n: int, width: int) -> nn.ParameterList:
    """Learned prompts for blocks 1 .. n_deep, (n, width) each, from normal(0, 0.02)."""
    return nn.ParameterList([nn.Parameter(random_prompts(n, width)) for _ in range(n_deep)])


def deep_blocks(depth: int, n_blocks: int) -> int:
    """How many blocks after the first get prompts of their own; a depth beyond the tower means all blocks.

    Raises:
        ValueError: if the depth is below 1: the first block always gets prompts.
    """
    if depth < 1:
        raise ValueError(
            f"A prompt depth is {depth}; it counts blocks, the first of which always gets prompts: 1 or more."
        )
    return min(depth, n_blocks) - 1


def vision_width(clip: nn.Module) -> int:
    """Width of the ViT; a ResNet, which takes no visual prompts, is refused.

    Raises:
        ValueError: if the image tower is a ResNet.
    """
    if not is_vit(clip):
        raise ValueError("Visual prompts need a ViT student; a ResNet works with CoOp and CoCoOp.")
    return clip.visual.class_embedding.shape[0]


def vision_blocks(clip: nn.Module) -> int:
    return len(clip.visual.transformer.resblocks)


def text_blocks(clip: nn.Module) -> int:
    return len(clip.transformer.resblocks)
