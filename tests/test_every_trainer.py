"""Each trainer: trained by train.py, killed, resumed, and tested on base classes, new classes and another dataset."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import train
from kdpl.methods import METHODS

from .conftest import ROOT

MINUTES = 3  # until a run without any epoch is considered stuck


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A data root into which the first run draws the demo's images."""
    return tmp_path_factory.mktemp("data")


def command(trainer: str, data: Path, output: Path, dataset: str, classes: str, *flags: object) -> list[str]:
    """train.py with the demo's configuration, two images per class and three epochs."""
    arguments = [
        "--root", data, "--seed", 1, "--trainer", trainer, "--output-dir", output,
        "--dataset-config-file", ROOT / f"configs/datasets/{dataset}.yaml",
        "--config-file", ROOT / f"configs/trainers/{trainer}/demo.yaml", *flags,
        "DATASET.NUM_SHOTS", 2, "DATASET.SUBSAMPLE_CLASSES", classes, "OPTIM.MAX_EPOCH", 3,
    ]  # fmt: skip
    if trainer.startswith("PromptSRC"):
        arguments += ["TRAINER.PROMPTSRC.GPA_MEAN", 2]  # so that the average has prompts from before and after the kill
    return list(map(str, arguments))


@pytest.mark.parametrize("trainer", [*METHODS, *(f"{method}_KDPL" for method in METHODS)])
def test_trained_killed_resumed_and_tested_elsewhere(trainer, data, tmp_path, capsys):
    run = tmp_path / "run"
    training = command(trainer, data, run, "shapes", "base")
    kill_after_an_epoch([sys.executable, str(ROOT / "train.py"), *training], run)
    assert not (run / "results.json").exists()

    assert train.main(training) == 0, capsys.readouterr().err  # here, where torch is loaded already
    assert f"Resuming from {run / 'resume.pth'} after epoch" in capsys.readouterr().out
    base = json.loads((run / "results.json").read_text())
    assert base["visible"]["labels_used"] is not trainer.endswith("_KDPL")
    assert base["evaluations"][0]["total"] == 960

    evaluation = ("--eval-only", "--model-dir", run)
    assert train.main(command(trainer, data, tmp_path / "new", "shapes_night", "new", *evaluation)) == 0
    (night,) = json.loads((tmp_path / "new" / "results.json").read_text())["evaluations"]
    assert (night["dataset"], night["subsample"], night["total"]) == ("ShapesNight", "new", 960)


def kill_after_an_epoch(arguments: list[str], output: Path) -> None:
    """Start a run and SIGKILL it once it has saved an epoch."""
    process = subprocess.Popen(
        arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60 * MINUTES
        while not (output / "resume.pth").exists():
            assert process.poll() is None, f"the run ended early: {process.returncode}"
            assert time.monotonic() < deadline, "no epoch was saved"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
