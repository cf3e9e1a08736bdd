"""PromptSRC: independent prompts in both towers (Khattak et al., ICCV 2023, arXiv:2307.06948)."""

from collections.abc import Callable

from torch import Tensor, nn

from .maple import short_context_init
from .prompt_learner import (
    PromptLearner,
    Prompts,
    deep_blocks,
    initial_context,
    prompt_list,
    random_prompts,
    text_blocks,
    vision_blocks,
    vision_width,
)  # fmt: skip
from .vpt import official_deep_names


class PromptSRCPromptLearner(PromptLearner):
    """``ctx``, ``deep_text`` (n_ctx, text width) and ``visual``, ``deep_visual`` (n_vis, vision width)."""

    def __init__(
        self,
        clip: nn.Module,
        tokenize: Callable[[list[str]], Tensor],
        n_ctx: int = 4,
        n_vis: int = 4,
        ctx_init: str = "a photo of a",
        depth_text: int = 9,
        depth_vision: int = 9,
    ):
        """
        Args:
            n_ctx, n_vis: text and visual vectors a block; ``ctx_init`` counts for n_ctx <= 4.
            depth_text, depth_vision: blocks with prompts of their own.

        Raises:
            ValueError: if the image tower is a ResNet.
        """
        super().__init__()
        width = vision_width(clip)
        self.n_ctx = n_ctx
        ctx, self.words = initial_context(clip, tokenize, n_ctx, short_context_init(ctx_init, n_ctx))
        self.ctx = nn.Parameter(ctx)
        self.deep_text = prompt_list(deep_blocks(depth_text, text_blocks(clip)), n_ctx, ctx.shape[-1])
        self.visual = nn.Parameter(random_prompts(n_vis, width))
        self.deep_visual = prompt_list(deep_blocks(depth_vision, vision_blocks(clip)), n_vis, width)
        self.official_names = {
            "ctx": "prompt_learner.ctx",
            "visual": "image_encoder.VPT",
            **official_deep_names("deep_text", "text_encoder", len(self.deep_text)),
            **official_deep_names("deep_visual", "image_encoder", len(self.deep_visual)),
        }

    def forward(self) -> Prompts:
        return Prompts(self.ctx[None], self.deep_text, self.visual, self.deep_visual)
