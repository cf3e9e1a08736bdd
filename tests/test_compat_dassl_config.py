"""The default configuration holds the keys of CoOp's files and command lines."""

import compat  # noqa: F401

# isort: split
from dassl.config import get_cfg_default

COOP_FILE = """
DATALOADER:
  TRAIN_X:
    BATCH_SIZE: 32
  TEST:
    BATCH_SIZE: 100
  NUM_WORKERS: 8
INPUT:
  SIZE: (224, 224)
  INTERPOLATION: "bicubic"
  PIXEL_MEAN: [0.48145466, 0.4578275, 0.40821073]
  PIXEL_STD: [0.26862954, 0.26130258, 0.27577711]
  TRANSFORMS: ["random_resized_crop", "random_flip", "normalize"]
OPTIM:
  NAME: "sgd"
  LR: 0.002
  MAX_EPOCH: 50
  LR_SCHEDULER: "cosine"
  WARMUP_EPOCH: 1
  WARMUP_TYPE: "constant"
  WARMUP_CONS_LR: 1e-5
TRAIN:
  PRINT_FREQ: 5
MODEL:
  BACKBONE:
    NAME: "ViT-B/32"
"""


def test_a_configuration_file_of_coop_merges(tmp_path):
    (tmp_path / "vit_b32.yaml").write_text(COOP_FILE)
    cfg = get_cfg_default()
    cfg.merge_from_file(str(tmp_path / "vit_b32.yaml"))
    cfg.merge_from_list(["DATASET.NUM_SHOTS", "16", "TEST.PER_CLASS_RESULT", "True", "OPTIM.STEPSIZE", "(5, 8)"])
    assert cfg.INPUT.TRANSFORMS == ("random_resized_crop", "random_flip", "normalize")
    assert (cfg.OPTIM.WARMUP_CONS_LR, cfg.OPTIM.STEPSIZE) == (1e-5, (5, 8))
    assert (cfg.DATASET.NUM_SHOTS, cfg.TEST.PER_CLASS_RESULT) == (16, True)


def test_each_call_gives_a_configuration_of_its_own():
    changed = get_cfg_default()
    changed.INPUT.PIXEL_MEAN[0] = 9.0
    changed.OPTIM.LR = 9.0
    assert get_cfg_default().INPUT.PIXEL_MEAN[0] == 0.485
    assert get_cfg_default().OPTIM.LR == 0.0003
