"""Golden numbers of the published implementation, and the runner, which must notice any deviation from them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from dassl.optim import build_lr_scheduler, build_optimizer

from kdpl.verification.errors import Errors
from kdpl.verification.golden_file import GOLDEN
from trainers.kdpl.configuration import build_cfg

from .conftest import ROOT


def run_parity(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tests.parity", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def test_all_cases_of_the_public_golden_file_pass():
    done = run_parity()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "6 passed, 0 failed"


def test_a_golden_number_that_is_off_fails_the_case(golden, tmp_path):
    golden["cases"]["CoOp"]["eval_logits_after3"][0][0] *= 1.001
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    done = run_parity(tmp_path / "golden.json", "--case", "^CoOp$")
    assert done.returncode == 1
    assert re.search(r"FAIL CoOp: .*logits .*over 2e-05: eval_logits_after3", done.stdout)
    assert done.stdout.splitlines()[-1] == "0 passed, 1 failed"


def test_errors_are_relative_to_the_largest_value_of_the_array():
    errors = Errors()
    errors.compare("logits", "some", [1.0, 100.0], [1.001, 100.0])
    assert errors.worst["logits"] == (pytest.approx(1e-5), "some") and errors.passed
    errors.compare("logits", "others", [1.0, 100.0], [1.0, 100.003])
    assert errors.worst["logits"] == (pytest.approx(3e-5, rel=1e-3), "others") and not errors.passed


def test_nan_and_wrong_shapes_fail():
    errors = Errors()
    errors.compare("grad", "broken", [float("nan")], [1.0])
    assert not errors.passed
    errors = Errors()
    errors.compare("grad", "short", [1.0], [1.0, 2.0])
    assert not errors.passed and "shape" in errors.line()


@pytest.fixture
def golden() -> dict:
    """The content of the public golden file, for tests to change and write elsewhere."""
    return json.loads((GOLDEN / "golden_public.json").read_text())


def test_the_generator_beside_the_file_comes_before_that_of_the_package(golden, tmp_path):
    golden["cases"] = {"CoOp": golden["cases"]["CoOp"]}
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    generator = (GOLDEN / "weights.py").read_text()
    (tmp_path / "weights.py").write_text(generator.replace("out = 0.02 * z", "out = 0.03 * z"))
    assert "from weights.py differs from" in run_parity(tmp_path / "golden.json").stdout


def test_a_case_that_raises_fails_and_the_others_continue(golden, tmp_path):
    cases = golden["cases"]
    cases["broken"] = {**cases["VPT_KDPL"], "trainer": "Nobody"}
    golden["cases"] = {name: cases[name] for name in ("broken", "VPT_KDPL")}
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    done = run_parity(tmp_path / "golden.json")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["FAIL", "PASS", "1"]
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed"


def test_class_specific_contexts_with_a_vocabulary_are_refused_by_name(golden, tmp_path):
    opts = ["TRAINER.COOP.CSC", True, "TRAINER.COOP.CTX_INIT", ""]
    golden["cases"] = {
        "CSC, KDPL-CA": {"trainer": "CoOp_KDPL", "arch": "vit_s", "class_agnostic": True, "opts": opts},
        "CSC": {"trainer": "CoOp_KDPL", "arch": "vit_s", "class_agnostic": False, "opts": opts},
    }
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    done = run_parity(tmp_path / "golden.json")
    assert "FAIL CSC, KDPL-CA: " in done.stdout and "PASS CSC: " in done.stdout, done.stdout + done.stderr
    assert re.search(r"ValueError: .*\(TRAINER\.COOP\.CSC\).*\(TRAINER\.KDPL\.CLASS_AGNOSTIC\)", done.stdout)


def test_differently_written_files_of_the_format_pass_too(golden, tmp_path):
    case = golden["cases"]["CoOp_KDPL"]
    case["opts"] = list(zip(case["opts"][::2], case["opts"][1::2], strict=True)) + [("TRAINER.UNKNOWN.N_CTX", 4)]
    case["opts"] += [("TRAINER.COOP.CTX_INIT", ""), ("OPTIM.LR", "0.002"), ("OPTIM.MOMENTUM", 0.9)]
    case["gpa_weights"] = case["features_before"] = case["prepared"] = None
    for field in ("registered_model", "one_step_per_epoch", "class_agnostic", "lr_after_step1"):
        del case[field]
    for facts in case["learnable"].values():
        del facts["official_init"]
    for step in case["steps"]:
        step["labels"] = step["selected"] = None
        step["terms"] |= {"loss": (step["terms"]["kl_forward"] + step["terms"]["kl_reverse"]) / 2, "other": 1.0}
    for field in ("fingerprints", "archs", "streams", "tokens", "versions"):
        del golden[field]
    golden["cases"] = {"in other words": case}
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    done = run_parity(tmp_path / "golden.json")
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed", done.stdout + done.stderr
    assert "not compared: TRAINER.UNKNOWN.N_CTX, term other" in done.stdout


@pytest.mark.parametrize("content, message", [
    (None, "No such file"),
    ("no JSON", "is not JSON"),
    ('{"cases": {}}', "is not a golden file, which is an object with"),
    ('{"format": 2, "base_seed": 1, "classnames": [], "cases": {}}', "only format 1 is supported"),
])  # fmt: skip
def test_anything_but_a_golden_file_is_named(content, message, tmp_path):
    file = tmp_path / "golden.json"
    if content:
        file.write_text(content)
    done = run_parity(file)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_a_pattern_that_fits_no_case_lists_the_cases(golden, tmp_path):
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    done = run_parity(tmp_path / "golden.json", "--case", "Nobody")
    assert done.returncode == 2 and "there are CoOp, CoOp_KDPL" in done.stderr


def test_shipped_configurations_have_the_published_schedules(golden):
    n_found = 0
    for name, schedule in golden["lr_schedules"].items():
        file = ROOT / "configs" / "trainers" / f"{name}.yaml"
        cfg = build_cfg([file], {})
        optim = build_optimizer(torch.nn.Linear(1, 1), cfg.OPTIM)
        sched, rates = build_lr_scheduler(optim, cfg.OPTIM), []
        for _ in range(schedule["epochs"]):
            rates.append(optim.param_groups[0]["lr"])
            optim.step()
            sched.step()
        assert cfg.OPTIM.MAX_EPOCH == schedule["epochs"], name
        assert cfg.DATALOADER.TRAIN_X.BATCH_SIZE == schedule["batch_size"], name
        assert rates == pytest.approx(schedule["lr_per_epoch"], rel=1e-6), name
        assert optim.param_groups[0]["lr"] == pytest.approx(schedule["lr_after_last"], rel=1e-6), name
        n_found += 1
    assert n_found >= 10
