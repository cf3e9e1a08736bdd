"""Importing the trainers registers them and changes nothing else."""

import re
import subprocess
import sys
from pathlib import Path

from kdpl.methods import METHODS

ROOT = Path(__file__).parents[1]
LOOK = """
import os, random, sys, warnings
import compat, numpy, torch
from dassl.engine import TRAINER_REGISTRY

def state():
    return {
        "torch random": hash(bytes(torch.random.get_rng_state().tolist())),
        "python random": hash(random.getstate()),
        "numpy random": hash(numpy.random.get_state()[1].tobytes()),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "path": list(sys.path),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "stdout": id(sys.stdout),
        "cuda": torch.cuda.is_initialized(),
        "scheduler": id(torch.optim.lr_scheduler.LRScheduler.__init__),
        "load": id(torch.load),
    }

import torchvision, tqdm.auto  # what a user of CLIP has imported anyway
from kdpl.import_guards import import_clip
import_clip()
before, registered = state(), set(TRAINER_REGISTRY.registered_names())
import trainers
after = state()
print([name for name in before if before[name] != after[name]])
print(sorted(set(TRAINER_REGISTRY.registered_names()) - registered))
"""


def test_importing_the_trainers_only_registers_them():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LOOK], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    changed, registered = done.stdout.splitlines()
    assert changed == "[]"
    expected = [*METHODS, *(f"{method}_KDPL" for method in METHODS), "ZeroshotCLIP", "ZeroshotCLIP2"]
    assert registered == str(sorted(expected))


def test_the_trainers_can_be_imported_alone():
    done = subprocess.run([sys.executable, "-c", "import trainers"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_no_trainer_names_a_device_or_casts_itself():
    for file in [*(ROOT / "trainers").rglob("*.py"), *(ROOT / "kdpl").rglob("*.py")]:
        assert not re.search(r"\.(cuda|half)\(\)", file.read_text()), file


def test_what_is_dropped_into_another_code_base_imports_only_itself_and_the_library():
    dropped = [*(ROOT / "trainers" / "kdpl").rglob("*.py"), *(ROOT / "trainers").glob("*_kdpl.py")]
    dropped += (ROOT / "kdpl").rglob("*.py")
    assert len(dropped) > 60
    ours = re.compile(r"^\s*(from|import) (trainers|compat|datasets|tools|tests)\b", re.MULTILINE)
    assert not [file for file in dropped if ours.search(file.read_text())]
