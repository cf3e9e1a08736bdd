"""Ours does what stock Dassl does, value by value; runs where DASSL_HOME names a checkout of Dassl.pytorch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECTIONS = [
    "config_defaults",
    "transforms",
    "learning_rates",
    "optimizers",
    "samplers",
    "loaders",
    "evaluation",
    "small_helpers",
    "logger",
    "training",
]


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> tuple[dict, dict]:
    """The reports of ``dassl_probe.py`` on stock Dassl and on ours."""
    home = os.environ.get("DASSL_HOME")
    if not home:
        pytest.skip("DASSL_HOME names no checkout of Dassl.pytorch")
    folder = tmp_path_factory.mktemp("probe")
    return tuple(_probe(engine, folder / name) for engine, name in [(home, "stock"), (HERE.parent / "compat", "ours")])


def _probe(engine: str | Path, result: Path) -> dict:
    command = [sys.executable, "-W", "ignore", str(HERE / "dassl_probe.py"), str(engine), str(result)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(result.read_text())


@pytest.mark.parametrize("section", SECTIONS)
def test_ours_equals_stock(reports, section):
    stock, ours = reports
    assert ours[section] == stock[section]
