"""The classifier as one function of an image, with everything that is fixed written into it."""

import copy

import torch
from torch import Tensor, nn

from ..clip.image_encoder import ImageEncoder
from ..clip.towers import normalise
from ..prompts.prompted_clip import PromptedCLIP
from .preprocessing import InsidePreprocessing


class ClassifierProgram(nn.Module):
    """Images -> logits and probabilities, (batch, n_cls) each.

    Images are normalised (batch, 3, size, size), or uint8 (batch, 3, height, width) with the preprocessing inside.
    """

    def __init__(self, model: PromptedCLIP, with_preprocessing: bool):
        """
        Args:
            model: on the CPU in float32, with class names; its prompts do not depend on the image.
        """
        super().__init__()
        with torch.no_grad(), model.fixed_prompts() as text_features:
            prompts = model.prompt_learner()
        self.preprocess = InsidePreprocessing(model.clip.preprocessing) if with_preprocessing else nn.Identity()
        self.clip = _image_tower_alone(model.clip.model)
        self.describe = model.clip.describe
        self.n_deep = len(prompts.deep_visual)
        self.register_buffer("text", (model.logit_scale * text_features[0]).T.contiguous())  # (embed_dim, n_cls)
        self.register_buffer("visual", None if prompts.visual is None else prompts.visual.detach().clone())
        for i, deep in enumerate(prompts.deep_visual):
            self.register_buffer(f"deep_visual_{i}", deep.detach().clone())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        deep = [getattr(self, f"deep_visual_{i}") for i in range(self.n_deep)]
        encoder = ImageEncoder(self.describe(self.clip, None))  # described here, so that tracing sees its tensors
        logits = normalise(encoder(self.preprocess(image), self.visual, deep)) @ self.text
        return logits, logits.softmax(dim=-1)


def _image_tower_alone(clip: nn.Module) -> nn.Module:
    """A copy of a CLIP without the blocks and the embedding of its text tower, which are most of that."""
    alone = copy.copy(clip)
    alone._modules = dict(clip._modules)
    alone.transformer = nn.Sequential()
    alone.transformer.resblocks = nn.Sequential()
    alone.token_embedding = nn.Identity()
    return alone
