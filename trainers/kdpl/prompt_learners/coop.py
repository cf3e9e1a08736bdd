"""CoOp: context vectors before, around or after the class name (Zhou et al., IJCV 2022, arXiv:2109.01134)."""

from collections.abc import Callable

from torch import Tensor, nn

from .class_tokens import POSITIONS
from .prompt_learner import PromptLearner, Prompts, initial_context, random_prompts


class CoOpPromptLearner(PromptLearner):
    """``ctx``: (n_ctx, width), or (n_cls, n_ctx, width) with class-specific contexts."""

    def __init__(
        self,
        clip: nn.Module,
        tokenize: Callable[[list[str]], Tensor],
        n_ctx: int = 16,
        ctx_init: str = "",
        n_cls: int | None = None,
        class_token_position: str = "end",
    ):
        """
        Args:
            n_ctx: number of vectors; overruled by the number of words of ``ctx_init``.
            ctx_init: words to start from, such as "a photo of a"; empty starts from normal(0, 0.02).
            n_cls: number of classes for class-specific contexts, which ``ctx_init`` overrules; None for shared ones.
            class_token_position: "end", "middle" or "front".

        Raises:
            ValueError: if the position is none of the three.
        """
        super().__init__()
        if class_token_position not in POSITIONS:
            raise ValueError(f"CLASS_TOKEN_POSITION is {class_token_position!r}; possible are {', '.join(POSITIONS)}.")
        ctx_init = ctx_init.replace("_", " ")
        if ctx_init:
            n_ctx, n_cls = len(ctx_init.split(" ")), None
        self.n_ctx = n_ctx
        self.class_token_position = class_token_position
        self.class_specific = n_cls is not None
        ctx, self.words = initial_context(clip, tokenize, n_ctx, ctx_init)
        if self.class_specific:
            ctx = random_prompts(n_cls * n_ctx, ctx.shape[-1]).unflatten(0, (n_cls, n_ctx))
        self.ctx = nn.Parameter(ctx)

    def forward(self) -> Prompts:
        return Prompts(ctx=self.ctx if self.class_specific else self.ctx[None])
