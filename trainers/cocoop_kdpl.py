"""CoCoOp + KDPL (Mistretta et al., ECCV 2024, arXiv:2407.03056)."""

from kdpl.methods import METHODS

from .kdpl.kdpl_trainer import KDPLTrainer
from .kdpl.registration import register_trainer


@register_trainer
class CoCoOp_KDPL(KDPLTrainer):
    """Image-conditional contexts (Zhou et al., CVPR 2022), learned from a teacher instead of labels."""

    method = METHODS["CoCoOp"]
