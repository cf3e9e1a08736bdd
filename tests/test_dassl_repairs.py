"""What is repaired in stock Dassl, that nothing else is, and that both engines lead to the same prompts.

Tests of stock Dassl need DASSL_HOME to name a checkout of KaiyangZhou/Dassl.pytorch.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.test_trainers import KDPL, files  # noqa: F401  a fixture

LEARN = """
import sys
from pathlib import Path
import torch
from tests.test_trainers import KDPL, trained
files, output = Path(sys.argv[1]), Path(sys.argv[2])
torch.save({name: trained(files, name, output / name) for name in KDPL}, output / "prompts.pth")
"""
MEND = """
import json, sys
import torch
from dassl.config import get_cfg_default
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import load_checkpoint, resume_from_checkpoint, save_checkpoint  # as trainers do, before ours come
import trainers.kdpl.trainer
from trainers.kdpl.dassl_repairs import repair_dassl

print("again:")
repair_dassl()
cfg = get_cfg_default().OPTIM
cfg.NAME, cfg.LR, cfg.LR_SCHEDULER, cfg.MAX_EPOCH = "sgd", 0.1, "cosine", 4
cfg.WARMUP_EPOCH, cfg.WARMUP_TYPE, cfg.WARMUP_CONS_LR = 1, "constant", 0.001
rates = []
model = torch.nn.Linear(2, 2)
optimizer = build_optimizer(model, cfg)
scheduler = build_lr_scheduler(optimizer, cfg)
for _ in range(4):
    rates.append(optimizer.param_groups[0]["lr"])
    optimizer.step()
    scheduler.step()
state = {"state_dict": model.state_dict(), "epoch": 4, "optimizer": optimizer.state_dict(),
         "scheduler": scheduler.state_dict()}
save_checkpoint(state, sys.argv[1])
resumed = resume_from_checkpoint(sys.argv[1], torch.nn.Linear(2, 2), optimizer, scheduler)
json.dump({"rates": rates, "epoch": resumed}, open(sys.argv[1] + "/found.json", "w"))
"""


def run(program: str, *arguments: object, dassl: str = "") -> str:
    """What a Python program prints, with stock Dassl on its path or without."""
    paths = [ROOT, ROOT / "tests" / "coop_shim", dassl, os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in paths if str(path))},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def stock() -> str:
    if not os.environ.get("DASSL_HOME"):
        pytest.skip("DASSL_HOME names no checkout of Dassl.pytorch")
    return str(Path(os.environ["DASSL_HOME"]).resolve())


def test_a_dassl_that_works_is_left_alone():
    program = """
import compat, torch
from dassl.optim import lr_scheduler
from dassl.utils import load_checkpoint
before = torch.load, vars(torch.optim.lr_scheduler.LRScheduler).copy(), load_checkpoint.__globals__.copy()
import trainers
assert before == (torch.load, vars(torch.optim.lr_scheduler.LRScheduler).copy(), load_checkpoint.__globals__.copy())
"""
    assert run(program) == ""


def test_stock_dassl_schedules_saves_and_resumes_after_one_line_of_notice(stock, tmp_path):
    said, again = run(MEND, tmp_path, dassl=stock).split("again:\n")
    found = json.loads((tmp_path / "found.json").read_text())
    # 0.001 in the epoch of warm-up, then 0.1 (1 + cos(pi e / 4)) / 2 for e = 0, 1, 2
    assert found["rates"] == pytest.approx([0.001, 0.1, 0.0853553, 0.05], abs=1e-6) and found["epoch"] == 4
    assert said.count("\n") == (torch.__version__ >= (2, 6))
    assert ("warm-up" in said) == (torch.__version__ >= (2, 7))
    assert ("load_checkpoint" in said) == (torch.__version__ >= (2, 6))
    assert "repaired" not in again


def test_what_torch_loads_elsewhere_is_as_safe_as_before(stock, tmp_path):
    program = """
import sys, pickle
import torch
import trainers.kdpl.trainer
optimizer = torch.optim.SGD([torch.zeros(1)], lr=1)
torch.save({"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1)}, sys.argv[1])
try:
    torch.load(sys.argv[1], weights_only=True)
except pickle.UnpicklingError:
    print("refused")
"""
    assert run(program, tmp_path / "file", dassl=stock).endswith("refused\n")


def test_both_engines_give_the_same_prompts(stock, files, tmp_path):  # noqa: F811
    found = {}
    for engine, dassl in (("stock", stock), ("compat", "")):
        output = tmp_path / engine
        output.mkdir()
        run(LEARN, files, output, dassl=dassl)
        found[engine] = torch.load(output / "prompts.pth", weights_only=True)
    assert list(found["stock"]) == KDPL
    for name, prompts in found["stock"].items():
        assert prompts.keys() == found["compat"][name].keys()
        assert all(torch.equal(tensor, found["compat"][name][key]) for key, tensor in prompts.items()), name
