"""VPT (deep): learned tokens in the image tower only (Jia et al., ECCV 2022, arXiv:2203.12119)."""

from ..clip.loaded import LoadedCLIP
from .initial import initial_values, prompt_list, random_prompts, words_of
from .prompt_learner import PromptLearner, Prompts, deep_blocks, vision_tower


class VPTPromptLearner(PromptLearner):
    """``visual`` and ``deep_visual``, (n_vis, vision width) each; the text is fixed words.

    >>> import kdpl
    >>> learner = VPTPromptLearner(kdpl.load_clip("demo:student"), n_vis=8, depth=12)
    >>> learner.visual.shape, len(learner.deep_visual)  # this tower has three blocks
    (torch.Size([8, 128]), 2)
    """

    learns_text = False
    learns_visual = True

    def __init__(
        self, clip: LoadedCLIP, n_vis: int = 8, depth: int = 12, ctx_init: str = "a photo of a", seed: int = 1
    ):
        """
        Args:
            n_vis: visual tokens per block.
            depth: number of blocks with their own tokens.
            ctx_init: fixed words before the class name.
            seed: for the initial values.

        Raises:
            ValueError: if the image tower is a ResNet, or the depth is below 1.
        """
        super().__init__()
        generator = initial_values(seed)
        tower = vision_tower(clip)
        self.words = " ".join(words_of(ctx_init))
        self.visual = random_prompts(n_vis, tower.width, generator)
        self.deep_visual = prompt_list(deep_blocks(depth, len(tower.blocks)), n_vis, tower.width, generator)
        self.official_names = {"visual": "image_encoder.VPT"} | official_deep_names(
            "deep_visual", "image_encoder", len(self.deep_visual)
        )

    def forward(self) -> Prompts:
        return Prompts(visual=self.visual, deep_visual=self.deep_visual)


def official_deep_names(ours: str, encoder: str, n_deep: int) -> dict[str, str]:
    """Names of the prompts of blocks 1 to n_deep in the published VPT and PromptSRC code."""
    return {f"{ours}.{i}": f"{encoder}.transformer.resblocks.{i + 1}.VPT_shallow" for i in range(n_deep)}
