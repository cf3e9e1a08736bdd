"""One epoch of CoOp_KDPL with a checkout's own train.py, using the demo pair and freshly drawn images, offline."""

import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from . import files, train_py

CONFIG = "configs/trainers/CoOp_KDPL/vit_b16_ctxv1.yaml"
SETTINGS = {  # override those of CONFIG
    "INPUT.SIZE": "(64,64)",
    "DATALOADER.NUM_WORKERS": 0,
    "DATALOADER.TRAIN_X.BATCH_SIZE": 8,
    "OPTIM.MAX_EPOCH": 1,
    "TRAIN.PRINT_FREQ": 1,
    "MODEL.BACKBONE.NAME": "demo:student",
    "TRAINER.COOP.PREC": "fp32",
    "TRAINER.KDPL.TEACHER": "demo:teacher",
    "TRAINER.KDPL.PREC": "fp32",
}
COLOURS, TEXTURE, SHAPES = ("red", "green", "blue"), "striped", ("circle", "star")
IMAGES_PER_CLASS = {"train": 4, "val": 2, "test": 8}
# The demo's student distinguishes these classes without any training; guessing gets one image in six right.
LEAST_ACCURACY = 0.5
LINES_OF_LOG = 25


class SmokeTestFailed(Exception):
    """Something is missing, or train.py failed, in which case the message contains its last lines."""


def smoke_test(coop: Path) -> str:
    """Train and evaluate in the checkout without leaving anything behind.

    Returns:
        One line with the result.

    Raises:
        SmokeTestFailed: if something is missing, train.py fails, or its accuracy cannot be right.
    """
    coop = coop.resolve()
    _check_is_installed(coop)
    dassl = _check_packages(coop)
    with tempfile.TemporaryDirectory(prefix="kdpl_smoke_test_") as folder:
        data, output = Path(folder) / "data", Path(folder) / "output"
        n_images = draw_caltech101(data / "caltech-101")
        command = [
            sys.executable, "train.py", "--root", data, "--output-dir", output, "--seed", 1, "--trainer", "CoOp_KDPL",
            "--dataset-config-file", "configs/datasets/caltech101.yaml", "--config-file", CONFIG,
            *[part for setting in SETTINGS.items() for part in setting],
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        run = subprocess.run(
            list(map(str, command)), cwd=coop, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        log = "\n".join(run.stdout.splitlines()[-LINES_OF_LOG:])
        if run.returncode:
            raise SmokeTestFailed(f"train.py in {coop} ended with exit code {run.returncode}; its last lines:\n{log}")
        try:
            record = json.loads((output / "results.json").read_text())
        except FileNotFoundError:
            raise SmokeTestFailed(f"train.py in {coop} wrote no results.json; its last lines:\n{log}") from None
    counts = record["evaluations"][-1]
    if counts["total"] != n_images or counts["correct"] < LEAST_ACCURACY * n_images:
        raise SmokeTestFailed(
            f"train.py in {coop} classified {counts['correct']} of {counts['total']} images correctly; at least "
            f"{LEAST_ACCURACY:.0%} of {n_images} were expected. Its last lines:\n{log}"
        )
    return (
        f"Smoke test passed: CoOp_KDPL trained one epoch and classified {counts['correct']} of {counts['total']} "
        f"images correctly in {coop} (torch {record['versions']['torch']}, Dassl {dassl})"
    )


def _check_is_installed(coop: Path) -> None:
    ours = files.our_files(files.has_our_dassl(files.installed_before(coop)))
    missing = [name for name in ours if not (coop / name).is_file()]
    edits = train_py.needed_edits((coop / "train.py").read_bytes(), ours)
    lacks = [f"{len(missing)} of our {len(ours)} files"] if missing else []
    lacks += ["our lines in its train.py"] if edits else []
    if lacks:
        raise SmokeTestFailed(f"{coop} lacks {' and '.join(lacks)}; --apply --smoke-test installs and tests them.")


def _check_packages(coop: Path) -> str:
    """The version of the Dassl that train.py will import.

    Raises:
        SmokeTestFailed: with the packages that this Python lacks.
    """
    needed = ("torch", "torchvision", "yacs", "numpy", "PIL", "scipy", "tqdm", "ftfy", "regex", "safetensors")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise SmokeTestFailed(
            f"{sys.executable} has no {', no '.join(missing)}. Install what is missing, or choose the Python that runs "
            f"{coop} by putting KDPL_PYTHON=/path/to/python before the command."
        )
    folder = files.dassl_in_use(coop)
    if folder is None:
        raise SmokeTestFailed(
            f"{coop} and {sys.executable} have no Dassl. Copy a stand-in with --with-dassl, or install "
            "https://github.com/KaiyangZhou/Dassl.pytorch."
        )
    version = re.search(r'^__version__ = "(.+?)"', (folder / "__init__.py").read_text(), re.MULTILINE)
    return version[1] if version else "of an unknown version"


def draw_caltech101(folder: Path) -> int:
    """Draw six classes of shapes in the layout of Caltech101; returns the number of test images."""
    import numpy as np
    from PIL import Image

    draw = runpy.run_path(str(files.ROOT / "datasets" / "shapes_drawing.py"))["draw"]
    generator = np.random.default_rng(0)
    classes = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    split = {}
    for part, count in IMAGES_PER_CLASS.items():
        split[part] = []
        for label, (colour, shape) in enumerate(classes):
            name = f"{colour} {TEXTURE} {shape}"
            for i in range(count):
                path = f"{name.replace(' ', '_')}/{part}_{i}.jpg"
                file = folder / "101_ObjectCategories" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                pixels = draw(generator, colour, TEXTURE, shape, "photo", "plain")
                Image.fromarray(pixels).save(file, "JPEG", quality=95)
                split[part].append([path, label, name])
    (folder / "split_zhou_Caltech101.json").write_text(json.dumps(split))
    return len(split["test"])
