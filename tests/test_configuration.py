"""The configuration of a run as the command line builds it."""

from trainers.kdpl.configuration import MOST_WORKERS, build_cfg, n_cores


def test_as_many_workers_as_cores_unless_something_else_is_asked_for():
    assert build_cfg([], {}).DATALOADER.NUM_WORKERS == min(MOST_WORKERS, n_cores())
    method = "configs/trainers/CoOp_KDPL/vit_b32_ctxv1.yaml"
    assert build_cfg([method], {}).DATALOADER.NUM_WORKERS == min(MOST_WORKERS, n_cores())
    assert build_cfg([method], {}, ["DATALOADER.NUM_WORKERS", "3"]).DATALOADER.NUM_WORKERS == 3
