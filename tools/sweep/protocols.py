"""The evaluation protocols: which datasets each one trains and tests on, and the folders its runs write to."""

ON_ITS_OWN, FROM_A_SOURCE = ("base2new", "few_shot"), ("cross_dataset", "domain_generalization")
PROTOCOLS = ON_ITS_OWN + FROM_A_SOURCE

# The datasets of the base-to-new average (Zhou et al., CVPR 2022): files in configs/datasets, and registered names. Ten
# of them are the cross-dataset targets of ImageNet.
ELEVEN = {
    "imagenet": "ImageNet", "caltech101": "Caltech101", "oxford_pets": "OxfordPets", "stanford_cars": "StanfordCars",
    "oxford_flowers": "OxfordFlowers", "food101": "Food101", "fgvc_aircraft": "FGVCAircraft", "sun397": "SUN397",
    "dtd": "DescribableTextures", "eurosat": "EuroSAT", "ucf101": "UCF101",
}  # fmt: skip
SHIFTED = {  # domain generalisation: the same classes in other conditions
    "imagenet": {
        "imagenetv2": "ImageNetV2", "imagenet_sketch": "ImageNetSketch", "imagenet_a": "ImageNetA",
        "imagenet_r": "ImageNetR",
    },
    "shapes": {"shapes_night": "ShapesNight", "shapes_noise": "ShapesNoise", "shapes_sketch": "ShapesSketch"},
}  # fmt: skip
NAMES = {**ELEVEN, "shapes": "Shapes", **SHIFTED["imagenet"], **SHIFTED["shapes"]}
FEW_SHOTS = (1, 2, 4, 8, 16)

TRAIN_BASE = "base2new/train_base"
BASE2NEW_TESTS = {classes: f"base2new/test_{classes}" for classes in ("base", "new", "all")}
TRAIN_ALL, ZEROSHOT_ALL = "all_classes/train", "all_classes/zeroshot"
ZEROSHOT_SEED, ZEROSHOT_SHOTS = 1, 16  # nothing is drawn, so one folder serves all seeds and shots


def datasets_of(protocol: str, source: str = "") -> tuple[str, ...]:
    """The published datasets of a protocol, or its test sets if it trains on a source."""
    if protocol == "cross_dataset":
        if source.startswith("shapes"):
            return ("shapes", *SHIFTED["shapes"])
        return tuple(name for name in ELEVEN if name != "imagenet")
    if protocol == "domain_generalization":
        if source not in SHIFTED:
            raise ValueError(
                f"Only {' and '.join(SHIFTED)} have shifted datasets; for {source}, name the datasets to test on."
            )
        return tuple(SHIFTED[source])
    return tuple(ELEVEN)


def shots_of(protocol: str) -> tuple[int, ...]:
    """The usual numbers of images per class."""
    return FEW_SHOTS if protocol == "few_shot" else (16,)


def run_folder(part: str, dataset: str, shots: int, trainer: str, variant: str, seed: int) -> str:
    """The folder of one training or evaluation.

    Args:
        part: one of those above, or :func:`test_from`.
        dataset: the name of a file in configs/datasets; for an evaluation, of the test images.
        variant: a configuration and whatever was changed in it (see :mod:`tools.sweep.choice`), or for zero-shot CLIP
            the model.
    """
    return f"{part}/{dataset}/shots_{shots}/{trainer}/{variant}/seed{seed}"


def test_from(source: str) -> str:
    """The part that tests prompts learned on ``source``."""
    return f"all_classes/test_from_{source}"
