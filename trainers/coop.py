"""CoOp (Zhou et al., IJCV 2022), learned from labels."""

from kdpl.methods import METHODS

from .kdpl.registration import register_trainer
from .kdpl.trainer import PromptTrainer


@register_trainer
class CoOp(PromptTrainer):
    """Context vectors (Zhou et al., IJCV 2022), learned from labels."""

    method = METHODS["CoOp"]
