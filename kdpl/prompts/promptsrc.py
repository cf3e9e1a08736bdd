"""PromptSRC: independent prompts in both towers (Khattak et al., ICCV 2023, arXiv:2307.06948)."""

from ..clip.loaded import LoadedCLIP
from .initial import initial_context, initial_values, prompt_list, random_prompts, text_tower
from .maple import short_context_init
from .prompt_learner import PromptLearner, Prompts, deep_blocks, vision_tower
from .vpt import official_deep_names


class PromptSRCPromptLearner(PromptLearner):
    """``ctx``, ``deep_text`` (n_ctx, text width) and ``visual``, ``deep_visual`` (n_vis, vision width).

    >>> import kdpl
    >>> learner = PromptSRCPromptLearner(kdpl.load_clip("demo:student"))
    >>> learner.ctx.shape, learner.visual.shape
    (torch.Size([4, 64]), torch.Size([4, 128]))
    """

    learns_visual = True

    def __init__(
        self,
        clip: LoadedCLIP,
        n_ctx: int = 4,
        n_vis: int = 4,
        ctx_init: str = "a photo of a",
        depth_text: int = 9,
        depth_vision: int = 9,
        seed: int = 1,
    ):
        """
        Args:
            n_ctx, n_vis: text and visual vectors per block; ``ctx_init`` is used only if n_ctx <= 4.
            depth_text, depth_vision: number of blocks with their own prompts.
            seed: for the initial values.

        Raises:
            ValueError: if the image tower is a ResNet, or a depth is below 1.
        """
        super().__init__()
        generator = initial_values(seed)
        text, vision = text_tower(clip), vision_tower(clip)
        self.n_ctx = n_ctx
        self.ctx, self.words = initial_context(clip, n_ctx, short_context_init(ctx_init, n_ctx), generator)
        self.deep_text = prompt_list(deep_blocks(depth_text, len(text.blocks)), n_ctx, text.width, generator)
        self.visual = random_prompts(n_vis, vision.width, generator)
        self.deep_visual = prompt_list(deep_blocks(depth_vision, len(vision.blocks)), n_vis, vision.width, generator)
        self.official_names = {
            "ctx": "prompt_learner.ctx",
            "visual": "image_encoder.VPT",
            **official_deep_names("deep_text", "text_encoder", len(self.deep_text)),
            **official_deep_names("deep_visual", "image_encoder", len(self.deep_visual)),
        }

    def forward(self) -> Prompts:
        return Prompts(self.ctx[None], self.deep_text, self.visual, self.deep_visual)
