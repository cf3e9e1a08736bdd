"""Ranges for the settings that Dassl declares without a range; Dassl itself is not imported."""

from .clip.device import n_cores
from .ranges import LARGEST, Range, one_of, or_empty, real, several, text, whole

MOST_WORKERS = 16  # by default; each holds decoded images in memory, and more would not feed a GPU faster
MOST_EPOCHS = 100_000
TRANSFORMS = (
    "random_flip", "random_resized_crop", "normalize", "instance_norm", "random_crop", "random_translation",
    "center_crop", "cutout", "imagenet_policy", "cifar10_policy", "svhn_policy", "randaugment", "randaugment_fixmatch",
    "randaugment2", "gaussian_noise", "colorjitter", "randomgrayscale", "gaussian_blur",
)  # fmt: skip
WORKERS = whole(0, max(MOST_WORKERS, 4 * n_cores()), meaning="loader processes, given the cores of this machine")
DRAW = Range(
    "2SFS, the path of .jsonl files with {part} instead of train and val, or nothing for CoOp's draws",
    lambda value: isinstance(value, str) and ("{part}" in value or value.lower() in ("", "2sfs")),
)
_BY_RANGE = (
    (whole(-LARGEST, 2**32 - 1), "SEED"),
    (text(empty=False), "OUTPUT_DIR"),
    (or_empty(several(whole(1, 8192), 2)), "INPUT.SIZE"),
    (or_empty(one_of("bilinear", "bicubic", "nearest")), "INPUT.INTERPOLATION"),
    (several(one_of(*TRANSFORMS)), "INPUT.TRANSFORMS"),
    (or_empty(several(real(), 3)), "INPUT.PIXEL_MEAN"),
    (or_empty(several(real(above=0), 3)), "INPUT.PIXEL_STD"),
    (several(real(0, 1, above=0), 2, rising=True), "INPUT.RRCROP_SCALE"),
    (whole(0, 1000), "INPUT.CROP_PADDING INPUT.CUTOUT_N INPUT.RANDAUGMENT_N"),
    (whole(1, 8192), "INPUT.CUTOUT_LEN"),
    (Range("an odd number from 1 to 999", lambda value: value in range(1, 1000, 2)), "INPUT.GB_K"),
    (
        Range("False (True is not supported)", lambda value: value is False),
        "INPUT.NO_TRANSFORM DATALOADER.RETURN_IMG0",
    ),
    (whole(1, 1, meaning="one augmentation per image"), "DATALOADER.K_TRANSFORMS"),
    (
        Range("nothing: prompts start from CTX_INIT or at random", lambda value: value == ""),
        "MODEL.INIT_WEIGHTS",
    ),
    (whole(0, 30), "INPUT.RANDAUGMENT_M"),
    (real(0), "INPUT.GN_STD INPUT.COLORJITTER_B INPUT.COLORJITTER_C INPUT.COLORJITTER_S"),
    (real(0, 0.5), "INPUT.COLORJITTER_H"),
    (real(0, 1), "INPUT.RGS_P INPUT.GB_P DATASET.VAL_PERCENT OPTIM.MOMENTUM OPTIM.SGD_DAMPNING OPTIM.RMSPROP_ALPHA"),
    (whole(1, LARGEST, -1, meaning="all images"), "DATASET.NUM_SHOTS"),
    (WORKERS, "DATALOADER.NUM_WORKERS"),
    (whole(1, 65_536), "DATALOADER.TRAIN_X.BATCH_SIZE DATALOADER.TRAIN_U.BATCH_SIZE DATALOADER.TEST.BATCH_SIZE"),
    (one_of("adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"), "OPTIM.NAME"),
    (real(above=0, most=1000), "OPTIM.LR"),
    (real(0), "OPTIM.WEIGHT_DECAY OPTIM.BASE_LR_MULT OPTIM.GAMMA OPTIM.WARMUP_CONS_LR OPTIM.WARMUP_MIN_LR"),
    (real(0, 1 - 1e-9), "OPTIM.ADAM_BETA1 OPTIM.ADAM_BETA2"),
    (one_of("single_step", "multi_step", "cosine"), "OPTIM.LR_SCHEDULER"),
    (several(whole(-1, MOST_EPOCHS)), "OPTIM.STEPSIZE"),
    (whole(1, MOST_EPOCHS), "OPTIM.MAX_EPOCH"),
    (whole(-1, MOST_EPOCHS), "OPTIM.WARMUP_EPOCH TRAIN.CHECKPOINT_FREQ"),
    (one_of("constant", "linear"), "OPTIM.WARMUP_TYPE"),
    (whole(1), "TRAIN.PRINT_FREQ"),
    (one_of("train_x", "train_u", "smaller_one"), "TRAIN.COUNT_ITER"),
    (one_of("test", "val"), "TEST.SPLIT"),
    (one_of("last_step", "best_val"), "TEST.FINAL_MODEL"),
)
DASSL_RANGES = {key: values for values, keys in _BY_RANGE for key in keys.split()}
