"""Where runs write, below the output folder: the same for the scripts (see scripts/kdpl/common.sh) and for sweeps."""

TRAIN_BASE, TEST_BASE, TEST_NEW = "base2new/train_base", "base2new/test_base", "base2new/test_new"
TRAIN_ALL, ZEROSHOT_ALL = "all_classes/train", "all_classes/zeroshot"
ZEROSHOT_SEED, ZEROSHOT_SHOTS = 1, 16  # nothing is drawn, so one folder stands for all: that of the scripts' defaults


def run_folder(part: str, dataset: str, shots: int, trainer: str, variant: str, seed: int) -> str:
    """The folder of one training or evaluation.

    Args:
        part: one of those above, or :func:`test_from`.
        dataset: name of its file in configs/datasets; of an evaluation, that of the test images.
        variant: the configuration with what was changed in it, or of zero-shot CLIP the model, as a folder's name;
            see `tools.experiment`.
    """
    return f"{part}/{dataset}/shots_{shots}/{trainer}/{variant}/seed{seed}"


def test_from(source: str) -> str:
    """The part that tests the prompts of ``source`` on other datasets."""
    return f"all_classes/test_from_{source}"
