"""Checkouts of CoOp and of code bases made from it, for tests: fake ones, and copies of real ones."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import clip
import pytest
import torch
from torch import nn

from tests.conftest import ROOT
from tests.tiny_datasets import write_jpeg

INSTALL = ROOT / "scripts" / "install_into_coop.sh"
SHIM = ROOT / "tests" / "coop_shim"
HOMES = ("COOP_HOME", "MAPLE_HOME", "PROMPTSRC_HOME")  # name checkouts
COMPAT_DASSL = ROOT / "compat"


def install(coop: Path, *options: str, fails: bool = False, **environment: str) -> str:
    """Run the installer; returns its output."""
    run = subprocess.run(
        ["bash", str(INSTALL), str(coop), *options],
        env={**os.environ, "KDPL_PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr if not fails else "") == (2 if fails else 0, ""), run.stdout + run.stderr
    return run.stderr if fails else run.stdout


def contents(folder: Path) -> dict[str, bytes]:
    """All files except compiled ones and those of git."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    names = {file.relative_to(folder).as_posix(): file for file in files}
    return {
        name: file.read_bytes() for name, file in names.items() if "__pycache__" not in name and ".git/" not in name
    }


def home(name: str) -> Path:
    """The checkout that an environment variable names; the test is skipped where it is unset."""
    if not os.environ.get(name):
        pytest.skip(f"{name} names no checkout")
    return Path(os.environ[name]).resolve()


def copy_of(checkout: Path, target: Path) -> Path:
    return Path(shutil.copytree(checkout, target, ignore=shutil.ignore_patterns(".git", "__pycache__")))


class Checkout:
    """A copy of a checkout with the trainers installed, a dataset of real JPEGs and two small random CLIPs.

    Attributes:
        coop: the checkout.
        before: its files before the installation.
    """

    def __init__(self, folder: Path, original: Path):
        self.folder = folder
        self.coop = copy_of(original, folder / "checkout")
        self.before = contents(self.coop)
        install(self.coop, "--apply")
        self._draw_caltech101()
        for name, seed in (("student", 1), ("teacher", 3)):
            _save_as_openai_does(folder / f"{name}.pt", seed)
        digest = hashlib.sha256((folder / "student.pt").read_bytes()).hexdigest()
        served = folder / digest / "student.pt"  # CoOp's clip reads the digest from the address
        served.parent.mkdir()
        shutil.copy(folder / "student.pt", served)
        self.student_url = served.as_uri()

    def _draw_caltech101(self) -> None:
        """Four classes in CoOp's layout, with a split file in its format."""
        root, split = self.folder / "data" / "caltech-101", {}
        for part, count in (("train", 6), ("val", 4), ("test", 5)):
            split[part] = [
                [f"{name}/image_{part}_{i}.jpg", label, name]
                for label, name in enumerate(["face", "leopard", "motorbike", "accordion"])
                for i in range(count)
            ]
            for n, (path, *_) in enumerate(split[part]):
                write_jpeg(root / "101_ObjectCategories" / path, n, (48, 40))
        (root / "split_zhou_Caltech101.json").write_text(json.dumps(split))

    def train(self, dassl: Path, trainer: str, output: str, *arguments: str, clip_called_tiny: bool = False) -> str:
        """Run its train.py with the Dassl in a folder; returns its output.

        Args:
            clip_called_tiny: for the checkout's own trainers, which know CLIPs by name only.
        """
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        paths = [SHIM, dassl, os.environ.get("PYTHONPATH", "")]
        if clip_called_tiny:
            environment |= {"CLIP_CALLED_TINY": self.student_url, "CPU_AND_FLOAT32": "1"}
            paths.append(self.coop)
        environment["PYTHONPATH"] = os.pathsep.join(str(path) for path in paths if str(path))
        options = {
            "INPUT.SIZE": "(32,32)", "DATASET.NUM_SHOTS": 4, "DATASET.SUBSAMPLE_CLASSES": "base", "USE_CUDA": False,
            "DATALOADER.NUM_WORKERS": 0, "DATALOADER.TRAIN_X.BATCH_SIZE": 4, "OPTIM.MAX_EPOCH": 2,
            "MODEL.BACKBONE.NAME": "tiny" if clip_called_tiny else self.folder / "student.pt",
            "TRAINER.COOP.PREC": "fp32", "TRAINER.COCOOP.PREC": "fp32", "TRAINER.MAPLE.PREC": "fp32",
            "TRAINER.KDPL.TEACHER": self.folder / "teacher.pt", "TRAINER.VPT.PROMPT_DEPTH_VISION": 2,
            "TRAINER.MAPLE.PROMPT_DEPTH": 2, "TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT": 2,
            "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION": 2,
        }  # fmt: skip
        command = [
            sys.executable, "-W", "ignore", "train.py", "--root", self.folder / "data", "--seed", 1,
            "--trainer", trainer, "--output-dir", self.folder / output,
            "--dataset-config-file", "configs/datasets/caltech101.yaml", "--config-file", self._config(trainer),
            *[argument for argument in arguments if argument.startswith("-")],
            *[str(x) for pair in options.items() for x in pair],
            *[argument for argument in arguments if not argument.startswith("-")],
        ]  # fmt: skip
        run = subprocess.run([str(x) for x in command], cwd=self.coop, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout[-1500:] + run.stderr[-3000:]
        return run.stdout

    def _config(self, trainer: str) -> Path:
        folder = self.coop / "configs" / "trainers"
        return (sorted((folder / trainer).glob("vit_b16*.yaml")) or sorted((folder / "CoOp").glob("vit_b16*.yaml")))[0]


def _save_as_openai_does(path: Path, seed: int) -> None:
    """A TorchScript archive of a CLIP of two blocks per tower. MaPLe asks for widths 768 and 512."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = clip.model.CLIP(
            embed_dim=32, image_resolution=32, vision_layers=2, vision_width=768, vision_patch_size=16,
            context_length=77, vocab_size=49408, transformer_width=512, transformer_heads=8, transformer_layers=2,
        )  # fmt: skip
        for parameter in model.parameters():  # CLIP's initial text weights are too small for differences to show
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    model = model.eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript, the format of OpenAI's files
        torch.jit.save(torch.jit.trace(model, (torch.zeros(1, 3, 32, 32), clip.tokenize(["a dog"]))).half(), str(path))


def accuracy(said: str) -> str:
    """The line with the last accuracy that a run printed."""
    return [line for line in said.splitlines() if "* accuracy" in line][-1]
