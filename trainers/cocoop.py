"""CoCoOp (Zhou et al., CVPR 2022), learned from labels."""

from kdpl.methods import METHODS

from .kdpl.registration import register_trainer
from .kdpl.trainer import PromptTrainer


@register_trainer
class CoCoOp(PromptTrainer):
    """Image-conditional contexts (Zhou et al., CVPR 2022), learned from labels."""

    method = METHODS["CoCoOp"]
