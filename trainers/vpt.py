"""VPT (Jia et al., ECCV 2022), learned from labels."""

from kdpl.methods import METHODS

from .kdpl.registration import register_trainer
from .kdpl.trainer import PromptTrainer


@register_trainer
class VPT(PromptTrainer):
    """Deep visual prompts (Jia et al., ECCV 2022), learned from labels."""

    method = METHODS["VPT"]
