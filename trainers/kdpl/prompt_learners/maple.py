"""MaPLe: prompts in both towers, the visual ones projected from the text's (Khattak et al., CVPR 2023)."""

import copy
import re
from collections.abc import Callable

from torch import Tensor, nn

from .prompt_learner import (
    PromptLearner,
    Prompts,
    deep_blocks,
    initial_context,
    prompt_list,
    text_blocks,
    vision_blocks,
    vision_width,
)  # fmt: skip


class MaPLePromptLearner(PromptLearner):
    """``ctx`` and ``compound_prompts_text`` (n_ctx, text width), each with a projection to the vision width.

    arXiv:2210.03117.
    """

    def __init__(
        self,
        clip: nn.Module,
        tokenize: Callable[[list[str]], Tensor],
        n_ctx: int = 2,
        ctx_init: str = "a photo of a",
        depth: int = 9,
    ):
        """
        Args:
            n_ctx: vectors a block; the first one's start from the first ``n_ctx`` words of ``ctx_init``, if n_ctx <= 4.
            depth: blocks with prompts of their own.

        Raises:
            ValueError: if the image tower is a ResNet, or the depth is below 1.
        """
        super().__init__()
        width = vision_width(clip)
        self.n_blocks = max(text_blocks(clip), vision_blocks(clip))
        n_deep = deep_blocks(depth, self.n_blocks)
        self.n_ctx = n_ctx
        ctx, self.words = initial_context(clip, tokenize, n_ctx, short_context_init(ctx_init, n_ctx))
        self.ctx = nn.Parameter(ctx)
        self.proj = nn.Linear(ctx.shape[-1], width)
        self.compound_prompts_text = prompt_list(n_deep, n_ctx, ctx.shape[-1])
        projection = nn.Linear(ctx.shape[-1], width)
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
        """Published files have prompts for as many blocks as the configuration said, however many there were."""
        match = re.match(r"prompt_learner\.compound_prompt\w+\.(\d+)", official_name)
        return bool(match) and int(match[1]) + 1 >= self.n_blocks


def short_context_init(ctx_init: str, n_ctx: int) -> str:
    """The words to start from; the deep methods use them for up to four vectors only."""
    return ctx_init.replace("_", " ") if n_ctx <= 4 else ""
