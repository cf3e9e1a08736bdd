"""PromptSRC + KDPL (Mistretta et al., ECCV 2024, arXiv:2407.03056)."""

from kdpl.methods import METHODS

from .kdpl.kdpl_trainer import KDPLTrainer
from .kdpl.registration import register_trainer


@register_trainer
class PromptSRC_KDPL(KDPLTrainer):
    """Self-regulated prompts in both towers (Khattak et al., ICCV 2023), learned from a teacher instead of labels."""

    method = METHODS["PromptSRC"]
