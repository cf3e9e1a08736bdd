"""CoOp: context vectors before, around or after the class name (Zhou et al., IJCV 2022, arXiv:2109.01134)."""

from torch import nn

from ..clip.loaded import LoadedCLIP
from .class_tokens import POSITIONS
from .initial import context_length, initial_context, initial_values, random_prompts, words_of
from .prompt_learner import PromptLearner, Prompts


class CoOpPromptLearner(PromptLearner):
    """``ctx``: (n_ctx, width), or (n_cls, n_ctx, width) with class-specific contexts.

    >>> import kdpl
    >>> CoOpPromptLearner(kdpl.load_clip("demo:student"), ctx_init="a photo of a").ctx.shape
    torch.Size([4, 64])
    """

    def __init__(
        self,
        clip: LoadedCLIP,
        n_ctx: int = 4,
        ctx_init: str = "a photo of a",
        n_cls: int | None = None,
        class_token_position: str = "end",
        seed: int = 1,
    ):
        """
        Args:
            n_ctx: number of vectors if ``ctx_init`` is empty; otherwise one per token of ``ctx_init`` (per word on
                OpenAI's CLIPs).
            ctx_init: words to initialise from, such as "a photo of a"; empty: normal(0, 0.02).
            n_cls: number of classes, for class-specific contexts (only if ``ctx_init`` is empty); None: a shared one.
            class_token_position: position of the class name: "end", "middle" or "front".
            seed: for the initial values.

        Raises:
            ValueError: if the position is unknown.
        """
        super().__init__()
        if class_token_position not in POSITIONS:
            raise ValueError(f"CLASS_TOKEN_POSITION is {class_token_position!r}; choose from {', '.join(POSITIONS)}.")
        generator = initial_values(seed)
        words = " ".join(words_of(ctx_init))
        self.n_ctx = context_length(clip, words, n_ctx)
        self.class_token_position = class_token_position
        self.class_specific = n_cls is not None and not words
        self.ctx, self.words = initial_context(clip, self.n_ctx, words, generator)
        if self.class_specific:
            every_context = random_prompts(n_cls * self.n_ctx, self.ctx.shape[-1], generator)
            self.ctx = nn.Parameter(every_context.detach().unflatten(0, (n_cls, self.n_ctx)))

    def forward(self) -> Prompts:
        return Prompts(ctx=self.ctx if self.class_specific else self.ctx[None])
