"""MaPLe (Khattak et al., CVPR 2023), learned from labels."""

from kdpl.methods import METHODS

from .kdpl.registration import register_trainer
from .kdpl.trainer import PromptTrainer


@register_trainer
class MaPLe(PromptTrainer):
    """Coupled prompts in both towers (Khattak et al., CVPR 2023), learned from labels."""

    method = METHODS["MaPLe"]
