"""The method that CONTRIBUTING.md adds as an example is known everywhere once its steps are followed."""

import re
import shutil
import subprocess
import sys

from .conftest import ROOT
from .tiny_datasets import write_jpeg

FOLDERS = ("assets", "compat", "configs", "datasets", "kdpl", "tools", "trainers")
KNOWN = """
import kdpl
from tools import docs
from tools.sweep.__main__ import main as sweep
from trainers.kdpl.configuration import build_cfg

assert kdpl.distill("photos", ["a", "b"], method="IVLP", epochs=1, student="demo:student", teacher="demo:teacher")
assert "| `n_vis` | `N_CTX_VISION` | `2` |" in docs.methods_page().partition("## IVLP")[2]
assert sweep(["sweep.yaml", "--dry-run", "--output", "output"]) == 0
for trainer in ("IVLP", "IVLP_KDPL"):
    cfg = f"configs/trainers/{trainer}/vit_b32_c2_ep5_batch4_2ctx.yaml"
    cfg = build_cfg([cfg], {"TRAINER.NAME": trainer})
    assert (cfg.TRAINER.IVLP.N_CTX_VISION, cfg.TRAINER.IVLP.PROMPT_DEPTH_TEXT) == (2, 12)
"""
SWEEP = """
protocol: base2new
datasets: [shapes]
students: {demo:student: [IVLP]}
settings: [labels, kdpl]
"""


def test_the_example_of_a_new_method_works_as_written(tmp_path):
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", tmp_path)
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Add a method")[2]
    (entry,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    methods = tmp_path / "kdpl" / "methods.py"
    methods.write_text(methods.read_text(encoding="utf-8").replace("\n)\nMETHODS", f"\n{entry.strip()},\n)\nMETHODS"))
    for block in re.findall(r"```bash\n(.*?)```", page.partition("**5.")[0], re.DOTALL):
        subprocess.run(["bash", "-ec", block], cwd=tmp_path, check=True)
    for i in range(2):
        write_jpeg(tmp_path / "photos" / f"{i}.jpg", i, (64, 64))
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    run = subprocess.run([sys.executable, "-c", KNOWN], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "IVLP_KDPL/demo" in run.stdout
