"""CoCoOp: a context that a small network shifts for each image (Zhou et al., CVPR 2022, arXiv:2203.05557)."""

from collections import OrderedDict
from dataclasses import replace

from torch import Tensor, nn

from ..clip.loaded import LoadedCLIP
from .initial import context_length, initial_context, initial_values, linear, words_of
from .prompt_learner import PromptLearner, Prompts


class CoCoOpPromptLearner(PromptLearner):
    """``ctx`` (n_ctx, text width) and ``meta_net``, embed_dim -> embed_dim // 16 -> text width.

    >>> import kdpl
    >>> learner = CoCoOpPromptLearner(kdpl.load_clip("demo:student"))
    >>> {name: tuple(p.shape) for name, p in learner.named_parameters() if "weight" in name}
    {'meta_net.linear1.weight': (4, 64), 'meta_net.linear2.weight': (64, 4)}
    """

    def __init__(self, clip: LoadedCLIP, n_ctx: int = 4, ctx_init: str = "a photo of a", seed: int = 1):
        """
        Args:
            n_ctx: number of vectors if ``ctx_init`` is empty; otherwise one per token of ``ctx_init`` (per word on
                OpenAI's CLIPs).
            ctx_init: words to initialise from, such as "a photo of a"; empty: normal(0, 0.02).
            seed: for the initial values.
        """
        super().__init__()
        generator = initial_values(seed)
        words = " ".join(words_of(ctx_init))
        self.n_ctx = context_length(clip, words, n_ctx)
        self.ctx, self.words = initial_context(clip, self.n_ctx, words, generator)
        embed_dim = clip.towers.text.embed_dim
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=linear(embed_dim, embed_dim // 16, generator),
                relu=nn.ReLU(),
                linear2=linear(embed_dim // 16, self.ctx.shape[-1], generator),
            )
        )

    def forward(self) -> Prompts:
        return Prompts(ctx=self.ctx[None])

    def for_images(self, prompts: Prompts, image_features: Tensor) -> Prompts:
        shift = self.meta_net(image_features)  # (batch, text width)
        return replace(prompts, ctx=prompts.ctx + shift[:, None])  # (batch, n_ctx, text width)
