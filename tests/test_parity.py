"""The golden numbers of the published implementation, and a runner that notices when they are missed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT
from .parity import Errors


def run_parity(file: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tests.parity", str(file), *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_all_cases_of_the_public_golden_file_pass(shared):
    file = shared / "parity" / "golden_public.json"
    done = run_parity(file)
    n_cases = len(json.loads(file.read_text())["cases"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{n_cases} passed, 0 failed"


def test_a_golden_number_that_is_off_fails_the_case(shared, tmp_path):
    golden = json.loads((shared / "parity" / "golden_public.json").read_text())
    golden["cases"]["CoOp"]["eval_logits_after3"][0][0] *= 1.001
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    (tmp_path / "weights.py").write_bytes((shared / "parity" / "weights.py").read_bytes())
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


def test_what_is_not_a_number_or_of_another_shape_fails():
    errors = Errors()
    errors.compare("grad", "broken", [float("nan")], [1.0])
    assert not errors.passed
    errors = Errors()
    errors.compare("grad", "short", [1.0], [1.0, 2.0])
    assert not errors.passed and "shape" in errors.line()
