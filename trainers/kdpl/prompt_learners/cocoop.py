"""CoCoOp: a context that a small network shifts for each image (Zhou et al., CVPR 2022, arXiv:2203.05557)."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from .prompt_learner import PromptLearner, Prompts, initial_context


class CoCoOpPromptLearner(PromptLearner):
    """``ctx`` (n_ctx, text width) and ``meta_net``, embed_dim -> embed_dim // 16 -> text width."""

    def __init__(self, clip: nn.Module, tokenize: Callable[[list[str]], Tensor], n_ctx: int = 16, ctx_init: str = ""):
        """
        Args:
            n_ctx: number of vectors; overruled by the number of words of ``ctx_init``.
            ctx_init: words to start from, such as "a photo of a"; empty starts from normal(0, 0.02).
        """
        super().__init__()
        ctx_init = ctx_init.replace("_", " ")
        self.n_ctx = len(ctx_init.split(" ")) if ctx_init else n_ctx
        ctx, self.words = initial_context(clip, tokenize, self.n_ctx, ctx_init)
        self.ctx = nn.Parameter(ctx)
        embed_dim = clip.text_projection.shape[1]
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=nn.Linear(embed_dim, embed_dim // 16),
                relu=nn.ReLU(),
                linear2=nn.Linear(embed_dim // 16, ctx.shape[-1]),
            )
        )

    def forward(self) -> Prompts:
        return Prompts(ctx=self.ctx[None])

    def for_images(self, prompts: Prompts, image_features: Tensor) -> Prompts:
        shift = self.meta_net(image_features)  # (batch, text width)
        return replace(prompts, ctx=prompts.ctx + shift[:, None])  # (batch, n_ctx, text width)
