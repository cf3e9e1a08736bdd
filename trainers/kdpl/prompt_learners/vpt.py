"""VPT, deep: learned tokens in the image tower alone (Jia et al., ECCV 2022, arXiv:2203.12119)."""

from torch import nn

from .prompt_learner import (
    PromptLearner,
    Prompts,
    deep_blocks,
    prompt_list,
    random_prompts,
    vision_blocks,
    vision_width,
)  # fmt: skip


class VPTPromptLearner(PromptLearner):
    """``visual`` and ``deep_visual``, (n_vis, vision width) each; the text is fixed words."""

    learns_text = False

    def __init__(self, clip: nn.Module, n_vis: int = 8, depth: int = 12, words: str = "a photo of a"):
        """
        Args:
            n_vis: visual tokens a block.
            depth: blocks with tokens of their own.
            words: what stands before the class name.

        Raises:
            ValueError: if the image tower is a ResNet.
        """
        super().__init__()
        width = vision_width(clip)
        self.words = words.replace("_", " ")
        self.visual = nn.Parameter(random_prompts(n_vis, width))
        self.deep_visual = prompt_list(deep_blocks(depth, vision_blocks(clip)), n_vis, width)
        self.official_names = {"visual": "image_encoder.VPT"} | official_deep_names(
            "deep_visual", "image_encoder", len(self.deep_visual)
        )

    def forward(self) -> Prompts:
        return Prompts(visual=self.visual, deep_visual=self.deep_visual)


def official_deep_names(ours: str, encoder: str, n_deep: int) -> dict[str, str]:
    """Names under which the published VPT and PromptSRC code keeps the prompts of blocks 1 .. n_deep."""
    return {f"{ours}.{i}": f"{encoder}.transformer.resblocks.{i + 1}.VPT_shallow" for i in range(n_deep)}
