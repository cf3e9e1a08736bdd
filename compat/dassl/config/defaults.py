"""Every configuration key with its default, as in Dassl 0.6.3."""

import copy

from .trainer_defaults import TRAINER_DEFAULTS

DEFAULTS = {
    "VERSION": 1,
    "OUTPUT_DIR": "./output",  # log, checkpoints, TensorBoard events
    "RESUME": "",  # folder of an earlier run to resume from; empty: OUTPUT_DIR
    "SEED": -1,  # negative: not seeded
    "USE_CUDA": True,  # where there is a CUDA device
    "VERBOSE": True,  # print which trainer, dataset and evaluator are loaded, and the dataset's sizes
    "INPUT": {
        "SIZE": (224, 224),  # height, width in pixels
        "INTERPOLATION": "bilinear",  # bilinear, bicubic, nearest
        "TRANSFORMS": (),  # names in dassl/data/transforms/transforms.py, applied in the order of that file
        "NO_TRANSFORM": False,  # items hold PIL images
        "PIXEL_MEAN": [0.485, 0.456, 0.406],  # ImageNet's, for pixels in [0, 1]
        "PIXEL_STD": [0.229, 0.224, 0.225],
        "CROP_PADDING": 4,  # random_crop: pixels
        "RRCROP_SCALE": (0.08, 1.0),  # random_resized_crop: fraction of the image's area
        "CUTOUT_N": 1,  # of Dassl itself only, like CUTOUT_LEN, GN_MEAN and GN_STD
        "CUTOUT_LEN": 16,
        "GN_MEAN": 0.0,
        "GN_STD": 0.15,
        "RANDAUGMENT_N": 2,  # randaugment: operations in a row
        "RANDAUGMENT_M": 10,  # randaugment: magnitude, 0 to 30
        "COLORJITTER_B": 0.4,  # colorjitter: brightness, contrast, saturation, hue
        "COLORJITTER_C": 0.4,
        "COLORJITTER_S": 0.4,
        "COLORJITTER_H": 0.1,
        "RGS_P": 0.2,  # randomgrayscale: probability
        "GB_P": 0.5,  # gaussian_blur: probability
        "GB_K": 21,  # gaussian_blur: kernel size, odd
    },
    "DATASET": {
        "ROOT": "",  # folder that holds the datasets' folders
        "NAME": "",
        "SOURCE_DOMAINS": (),
        "TARGET_DOMAINS": (),
        "NUM_LABELED": -1,  # labelled images in all (semi-supervised learning)
        "NUM_SHOTS": -1,  # images per class; below 1: all
        "VAL_PERCENT": 0.1,
        "STL10_FOLD": -1,
        "CIFAR_C_TYPE": "",
        "CIFAR_C_LEVEL": 1,
        "ALL_AS_UNLABELED": False,
    },
    "DATALOADER": {
        "NUM_WORKERS": 4,
        "K_TRANSFORMS": 1,  # training: augmented versions of each image
        "RETURN_IMG0": False,  # also the image without augmentation
        "TRAIN_X": {"SAMPLER": "RandomSampler", "BATCH_SIZE": 32, "N_DOMAIN": 0, "N_INS": 16},
        "TRAIN_U": {  # of Dassl itself only, like COUNT_ITER and the numbers of domains and instances
            "SAME_AS_X": True,
            "SAMPLER": "RandomSampler",
            "BATCH_SIZE": 32,
            "N_DOMAIN": 0,
            "N_INS": 16,
        },
        "TEST": {"SAMPLER": "SequentialSampler", "BATCH_SIZE": 32},
    },
    "MODEL": {
        "INIT_WEIGHTS": "",  # a checkpoint to start from
        "BACKBONE": {"NAME": "", "PRETRAINED": True},
        "HEAD": {"NAME": "", "HIDDEN_LAYERS": (), "ACTIVATION": "relu", "BN": True, "DROPOUT": 0.0},
    },
    "OPTIM": {
        "NAME": "adam",  # adam, amsgrad, sgd, rmsprop, radam, adamw
        "LR": 0.0003,
        "WEIGHT_DECAY": 5e-4,
        "MOMENTUM": 0.9,
        "SGD_DAMPNING": 0,
        "SGD_NESTEROV": False,
        "RMSPROP_ALPHA": 0.99,
        "ADAM_BETA1": 0.9,
        "ADAM_BETA2": 0.999,
        "STAGED_LR": False,  # this and the two below: of Dassl itself only
        "NEW_LAYERS": (),
        "BASE_LR_MULT": 0.1,
        "LR_SCHEDULER": "single_step",  # single_step, multi_step, cosine; stepped once an epoch
        "STEPSIZE": (-1,),  # single_step: its last number, below 1 means MAX_EPOCH; multi_step: all of them
        "GAMMA": 0.1,
        "MAX_EPOCH": 10,
        "WARMUP_EPOCH": -1,  # below 1: no warm-up
        "WARMUP_TYPE": "linear",  # linear, constant
        "WARMUP_CONS_LR": 1e-5,  # constant: the rate of every warm-up epoch
        "WARMUP_MIN_LR": 1e-5,  # linear: the rate of the first epoch
        "WARMUP_RECOUNT": True,  # the schedule proper starts from its epoch 0 after the warm-up
    },
    "TRAIN": {
        "CHECKPOINT_FREQ": 0,  # epochs; below 1: after the last one only
        "PRINT_FREQ": 10,  # batches
        "COUNT_ITER": "train_x",
    },
    "TEST": {
        "EVALUATOR": "Classification",
        "PER_CLASS_RESULT": False,
        "COMPUTE_CMAT": False,  # confusion matrix, written to OUTPUT_DIR/cmat.pt
        "NO_TEST": False,
        "SPLIT": "test",  # test, val
        "FINAL_MODEL": "last_step",  # last_step, best_val (evaluates after every epoch)
    },
    "TRAINER": {"NAME": "", **TRAINER_DEFAULTS},
}


def defaults() -> dict:
    """The default configuration as nested dictionaries, made anew by each call."""
    return copy.deepcopy(DEFAULTS)
