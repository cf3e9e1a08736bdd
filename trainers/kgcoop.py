"""KgCoOp (Yao et al., CVPR 2023), learned from labels."""

from kdpl.methods import METHODS

from .kdpl.registration import register_trainer
from .kdpl.trainer import PromptTrainer


@register_trainer
class KgCoOp(PromptTrainer):
    """Contexts kept close to the hand-written prompt (Yao et al., CVPR 2023), learned from labels."""

    method = METHODS["KgCoOp"]
