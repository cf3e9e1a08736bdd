"""What every prompt learner is: the owner of all learned tensors, which it hands out as one Prompts record."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..clip.loaded import LoadedCLIP
from ..clip.towers import TextTower, VisionTower
from .class_tokens import ClassTokens


@dataclass(frozen=True)
class Prompts:
    """Everything learned that enters the two towers; what a method does not learn is empty.

    >>> import kdpl
    >>> prompts = kdpl.VPTPromptLearner(kdpl.load_clip("demo:student"), n_vis=8)()
    >>> prompts.ctx is None, prompts.visual.shape
    (True, torch.Size([8, 128]))
    """

    ctx: Tensor | None = None  # (groups, n_ctx, text width): one group, or one per image; class-specific: (n_cls, ...)
    deep_text: Sequence[Tensor] = ()  # for blocks 1, 2, ...: (n_ctx, text width)
    visual: Tensor | None = None  # (n_vis, vision width)
    deep_visual: Sequence[Tensor] = ()  # for blocks 1, 2, ...: (n_vis, vision width)


class PromptLearner(nn.Module):
    """Base of the prompt learners: a module that owns every learned tensor and returns them as :class:`Prompts`.

    >>> import kdpl
    >>> learner = kdpl.CoOpPromptLearner(kdpl.load_clip("demo:student"))
    >>> [name for name, _ in learner.named_parameters()], learner().ctx.shape
    (['ctx'], torch.Size([1, 4, 64]))

    Attributes:
        words: the words before the class name; the first ``n_ctx`` of them give way to learned vectors.
        class_specific: whether each class has a context of its own.
        learns_text, learns_visual: whether prompts enter the text tower, the image tower.
        official_names: our tensor names -> those of the published checkpoints, where they differ.
    """

    words: str
    n_ctx: int = 0
    class_token_position: str = "end"
    class_specific: bool = False
    learns_text: bool = True
    learns_visual: bool = False
    official_names: dict[str, str] = {}

    def class_tokens(self, classnames: Sequence[str], tower: TextTower) -> ClassTokens:
        """The prompts' words for these classes."""
        return ClassTokens(classnames, self.words, self.n_ctx, tower, self.class_token_position)

    def forward(self) -> Prompts:
        """The prompts that do not depend on the image."""
        raise NotImplementedError

    def for_images(self, prompts: Prompts, image_features: Tensor) -> Prompts:
        """The prompts for these images, (batch, embed_dim) normalised features; the same unless a method says so."""
        return prompts

    def is_beyond_towers(self, official_name: str) -> bool:
        """Whether a tensor of a published file is for a block that this CLIP does not have; nothing depends on it."""
        return False

    @property
    def depends_on_image(self) -> bool:
        return type(self).for_images is not PromptLearner.for_images


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


def vision_tower(clip: LoadedCLIP) -> VisionTower:
    """The ViT that visual prompts enter.

    Raises:
        ValueError: if the image tower does not take them, such as a ResNet.
    """
    if clip.towers.vision is None:
        raise ValueError(
            f"Visual prompts need a ViT of OpenAI or open_clip, and {clip.name} is none; a tower of timm and a ResNet "
            "work with CoOp, CoCoOp and KgCoOp."
        )
    return clip.towers.vision
