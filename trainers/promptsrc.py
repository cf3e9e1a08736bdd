"""PromptSRC (Khattak et al., ICCV 2023), learned from labels."""

from kdpl.methods import METHODS

from .kdpl.registration import register_trainer
from .kdpl.trainer import PromptTrainer


@register_trainer
class PromptSRC(PromptTrainer):
    """Self-regulated prompts in both towers (Khattak et al., ICCV 2023), learned from labels."""

    method = METHODS["PromptSRC"]
