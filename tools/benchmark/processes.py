"""Measurements of whole training runs and of start-up time."""

import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from PIL import Image
from safetensors.torch import save_file

import kdpl
from kdpl.distillation.objective import TEACHER
from kdpl.distillation.training import Training
from kdpl.measuring.pictures import SIZE
from kdpl.measuring.random_clips import kept_clip

from .setting import Row, Setting, comparison

ROOT = Path(__file__).parents[2]
METHODS = ("CoOp", "CoCoOp", "VPT", "MaPLe", "PromptSRC")  # those in the paper's tables
N_IMAGES, N_CHOSEN = 16, 10
NAMES = [f"class number {i}" for i in range(4 * N_CHOSEN)]


def sweep(setting: Setting) -> list[Row]:
    """Short training runs of each method, with and without class names, each without and with a feature cache.

    Nothing is cached at the start. Runs without and with the feature cache alternate.
    """
    if setting.quick:
        return []
    seconds, n_images = {False: 0.0, True: 0.0}, {False: 0, True: 0}  # by whether there is a cache
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(folder)
        _write_clips_and_images(setting, folder)
        for method in METHODS:
            for names in (NAMES[:N_CHOSEN], None):
                for cached in seconds:
                    start = setting.clock()
                    n_images[cached] += _train(setting, folder, method, names, cached)
                    seconds[cached] += setting.clock() - start
    row = {"measured": f"{2 * len(METHODS)} training runs on {N_IMAGES} images", **comparison(*seconds.values())}
    row |= {"images through the teacher, plain": n_images[False], "images through the teacher, ours": n_images[True]}
    return [row]


def _write_clips_and_images(setting: Setting, folder: Path) -> None:
    for role, name, seed in (("student", setting.student, 0), ("teacher", setting.teacher, 1)):
        weights = kept_clip(name, seed=seed).model.state_dict()
        save_file({key: tensor.half().contiguous() for key, tensor in weights.items()}, folder / f"{role}.safetensors")
    (folder / "images").mkdir()
    for i in range(N_IMAGES):
        Image.effect_noise(SIZE, 10 + 5 * i).convert("RGB").save(folder / "images" / f"{i}.jpg")


def _train(setting: Setting, folder: Path, method: str, names: list[str] | None, cached: bool) -> int:
    """Train for one epoch; returns the number of images that went through the teacher."""
    seen = []

    def count(training: Training) -> None:
        tower = training.features.towers[TEACHER]
        training.features.towers[TEACHER] = lambda images: seen.append(len(images)) or tower(images)

    with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(folder / f"texts, {cached}")):
        kdpl.distill(
            folder / "images", names, method=method, vocabulary=NAMES, max_classes=N_CHOSEN,
            student=str(folder / "student.safetensors"), teacher=str(folder / "teacher.safetensors"),
            epochs=1, batch_size=setting.batch, device=setting.device, progress=False,
            cache=folder / "features" if cached else None, before_training=count,
        )  # fmt: skip
    return sum(seen)


def start_up(setting: Setting) -> list[Row]:
    """CPU time until training on the demo data could start, and of importing its libraries alone."""
    guards = "from kdpl.import_guards import import_clip, import_torchvision"
    imports = f"import torch; {guards}; import_torchvision(); import_clip()"
    with tempfile.TemporaryDirectory() as output:
        train = [
            "train.py", "--root", "tests/regression/images", "--seed", "1", "--trainer", "CoOp_KDPL", "--no-train",
            "--config-file", "tests/regression/settings.yaml", "--output-dir", output,
        ]  # fmt: skip
        rows = {"import torch, torchvision, clip": ["-c", imports], "train.py --no-train on the demo": train}
        return [{"measured": name, "CPU time, s": processor_seconds(command)} for name, command in rows.items()]


def processor_seconds(command: list[str], n: int = 3) -> float:
    """CPU seconds of a Python process, the lowest of ``n`` runs."""
    found = []
    for _ in range(n):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-W", "ignore", *command], cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)
