"""The classifier as a single function of the image, with everything else as constants."""

import torch
from torch import Tensor, nn

from ..clip.image_encoder import ImageEncoder
from ..clip.towers import normalise
from ..prompts.prompted_clip import PromptedCLIP
from .preprocessing import InsidePreprocessing


class ClassifierProgram(nn.Module):
    """Images -> logits and probabilities, (batch, n_cls) each.

    Images are normalised (batch, 3, size, size), or with preprocessing uint8 (batch, 3, height, width).
    """

    def __init__(self, model: PromptedCLIP, with_preprocessing: bool):
        """
        Args:
            model: on the CPU in float32, with class names and prompts that do not depend on the image.
        """
        super().__init__()
        with torch.no_grad(), model.fixed_prompts() as text_features:
            prompts = model.prompt_learner()
        self.preprocess = InsidePreprocessing(model.clip.preprocessing) if with_preprocessing else nn.Identity()
        self.encoder = ImageEncoder(model.clip.towers)  # its weights become constants of the program
        self.n_deep = len(prompts.deep_visual)
        self.register_buffer("text", (model.logit_scale * text_features[0]).T.contiguous())  # (embed_dim, n_cls)
        self.register_buffer("visual", None if prompts.visual is None else prompts.visual.detach().clone())
        for i, deep in enumerate(prompts.deep_visual):
            self.register_buffer(f"deep_visual_{i}", deep.detach().clone())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        deep = [getattr(self, f"deep_visual_{i}") for i in range(self.n_deep)]
        logits = normalise(self.encoder(self.preprocess(image), self.visual, deep)) @ self.text
        return logits, logits.softmax(dim=-1)
