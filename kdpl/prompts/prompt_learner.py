"""The base class of prompt learners, which own all learned tensors, and the Prompts record that they return."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..clip.loaded import LoadedCLIP
from ..clip.towers import TextTower, VisionTower
from .class_tokens import ClassTokens


@dataclass(frozen=True)
class Prompts:
    """All learned prompts for the two towers; those that a method does not learn are empty.

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
        words: the words before the class name, of which learned vectors replace the first ``n_ctx``.
        class_specific: whether each class has its own context.
        learns_text, learns_visual: whether prompts enter the text tower, and the image tower.
        official_names: our tensor names -> those of published checkpoints, where they differ.
    """

    words: str
    n_ctx: int = 0
    class_token_position: str = "end"
    class_specific: bool = False
    learns_text: bool = True
    learns_visual: bool = False
    official_names: dict[str, str] = {}

    def class_tokens(self, classnames: Sequence[str], tower: TextTower) -> ClassTokens:
        """The tokens of the prompts for these classes."""
        return ClassTokens(classnames, self.words, self.n_ctx, tower, self.class_token_position)

    def forward(self) -> Prompts:
        """The prompts that do not depend on the image."""
        raise NotImplementedError

    def for_images(self, prompts: Prompts, image_features: Tensor) -> Prompts:
        """The prompts for images with these normalised features, (batch, embed_dim); by default unchanged."""
        return prompts

    def is_beyond_towers(self, official_name: str) -> bool:
        """Whether a tensor of a published file belongs to a block that this CLIP does not have, so it has no effect."""
        return False

    @property
    def depends_on_image(self) -> bool:
        return type(self).for_images is not PromptLearner.for_images


def deep_blocks(depth: int, n_blocks: int) -> int:
    """Number of blocks after the first with their own prompts; a depth beyond the tower means all blocks.

    Raises:
        ValueError: if the depth is below 1, since the first block always has prompts.
    """
    if depth < 1:
        raise ValueError(
            f"A prompt depth is {depth}; it must be at least 1, because the first block always has prompts."
        )
    return min(depth, n_blocks) - 1


def vision_tower(clip: LoadedCLIP) -> VisionTower:
    """The ViT image tower.

    Raises:
        ValueError: if the image tower takes no visual prompts, such as a ResNet.
    """
    if clip.towers.vision is None:
        raise ValueError(
            f"Visual prompts need a ViT of OpenAI or open_clip, which {clip.name} does not have. ResNet and timm "
            "towers work with CoOp, CoCoOp and KgCoOp."
        )
    return clip.towers.vision
