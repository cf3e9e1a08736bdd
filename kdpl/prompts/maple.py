"""MaPLe: prompts in both towers, the visual ones projected from the textual ones (Khattak et al., CVPR 2023)."""

import copy
import re

from torch import nn

from ..clip.loaded import LoadedCLIP
from .initial import initial_context, initial_values, linear, prompt_list, text_tower, words_of
from .prompt_learner import PromptLearner, Prompts, deep_blocks, vision_tower


class MaPLePromptLearner(PromptLearner):
    """``ctx`` and ``compound_prompts_text`` (n_ctx, text width), each with a projection to the vision width.

    arXiv:2210.03117.

    >>> import kdpl
    >>> learner = MaPLePromptLearner(kdpl.load_clip("demo:student"), n_ctx=2)
    >>> learner().visual.shape  # projected from ctx
    torch.Size([2, 128])
    """

    learns_visual = True

    def __init__(self, clip: LoadedCLIP, n_ctx: int = 2, ctx_init: str = "a photo of a", depth: int = 9, seed: int = 1):
        """
        Args:
            n_ctx: vectors per block; those of the first block are initialised from the first ``n_ctx`` words of
                ``ctx_init`` if n_ctx <= 4.
            depth: number of blocks with their own prompts.
            seed: for the initial values.

        Raises:
            ValueError: if the image tower is a ResNet, or the depth is below 1.
        """
        super().__init__()
        generator = initial_values(seed)
        width, vision_width = text_tower(clip).width, vision_tower(clip).width
        self.n_blocks = max(len(clip.towers.text.blocks), len(clip.towers.vision.blocks))
        n_deep = deep_blocks(depth, self.n_blocks)
        self.n_ctx = n_ctx
        self.ctx, self.words = initial_context(clip, n_ctx, short_context_init(ctx_init, n_ctx), generator)
        self.proj = linear(width, vision_width, generator)
        self.compound_prompts_text = prompt_list(n_deep, n_ctx, width, generator)
        projection = linear(width, vision_width, generator)
        self.compound_prompt_projections = nn.ModuleList([copy.deepcopy(projection) for _ in range(n_deep)])
        self.official_names = {name: f"prompt_learner.{name}" for name, _ in self.named_parameters()}

    def forward(self) -> Prompts:
        pairs = zip(self.compound_prompt_projections, self.compound_prompts_text, strict=True)
        return Prompts(
            ctx=self.ctx[None],
            deep_text=self.compound_prompts_text,
            visual=self.proj(self.ctx),
            deep_visual=[projection(prompt) for projection, prompt in pairs],
        )

    def is_beyond_towers(self, official_name: str) -> bool:
        """Published files have prompts for as many blocks as configured, even if the towers have fewer."""
        match = re.match(r"prompt_learner\.compound_prompt\w+\.(\d+)", official_name)
        return bool(match) and int(match[1]) + 1 >= self.n_blocks


def short_context_init(ctx_init: str, n_ctx: int) -> str:
    """The words to initialise from, which deep methods use only for up to four vectors."""
    return " ".join(words_of(ctx_init)) if n_ctx <= 4 else ""
