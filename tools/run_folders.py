"""Where runs write below the output folder: CoOp's names, in one place for scripts and sweeps.

    python -m tools.run_folders base2new train_base caltech101 16 CoOp_KDPL vit_b32_ctxv1 1
    python -m tools.run_folders training imagenet 16 CoOp_KDPL vit_b32_ctxv1 1
    python -m tools.run_folders evaluation imagenet imagenet_a 16 CoOp_KDPL vit_b32_ctxv1 1
    python -m tools.run_folders zeroshot dtd ZeroshotCLIP vit_b32_ctxv1

``variant`` below is a configuration's name with what was changed in it, as `tools.experiment` puts them together.
"""

import sys


def base2new(part: str, dataset: str, shots: int, trainer: str, variant: str, seed: int) -> str:
    """Of one half of the classes; ``part`` is train_base (which also tests on base), test_base or test_new."""
    return f"base2new/{part}/{dataset}/shots_{shots}/{trainer}/{variant}/seed{seed}"


def training(dataset: str, shots: int, trainer: str, variant: str, seed: int) -> str:
    """Of training, and testing, on all classes."""
    return f"{dataset}/{trainer}/{variant}_{shots}shots/seed{seed}"


def evaluation(source: str, dataset: str, shots: int, trainer: str, variant: str, seed: int) -> str:
    """Of testing on ``dataset`` the prompts that were learned on all classes of ``source``."""
    top = "evaluation" if source == "imagenet" else f"evaluation_from_{source}"
    return f"{top}/{trainer}/{variant}_{shots}shots/{dataset}/seed{seed}"


def zeroshot(dataset: str, trainer: str, variant: str) -> str:
    """Of testing hand-written prompts on all classes: there are no shots and no seeds."""
    return f"{trainer}/{variant}/{dataset}"


KINDS = {function.__name__: function for function in (base2new, training, evaluation, zeroshot)}

if __name__ == "__main__":
    kind, *names = sys.argv[1:]
    print(KINDS[kind](*names))
