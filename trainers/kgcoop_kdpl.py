"""KgCoOp + KDPL (Mistretta et al., ECCV 2024, arXiv:2407.03056)."""

from kdpl.methods import METHODS

from .kdpl.kdpl_trainer import KDPLTrainer
from .kdpl.registration import register_trainer


@register_trainer
class KgCoOp_KDPL(KDPLTrainer):
    """Contexts kept close to the hand-written prompt (Yao et al., CVPR 2023), learned from a teacher, not labels."""

    method = METHODS["KgCoOp"]
