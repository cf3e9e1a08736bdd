"""CoOp + KDPL (Mistretta et al., ECCV 2024, arXiv:2407.03056)."""

from kdpl.methods import METHODS

from .kdpl.kdpl_trainer import KDPLTrainer
from .kdpl.registration import register_trainer


@register_trainer
class CoOp_KDPL(KDPLTrainer):
    """Context vectors (Zhou et al., IJCV 2022), learned from a teacher instead of labels."""

    method = METHODS["CoOp"]
