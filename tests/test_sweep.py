"""Sweeps through the real command line, really training tiny CLIPs on a tiny dataset."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from kdpl.methods import METHODS
from tools.sweep.__main__ import main
from tools.sweep.estimates import seconds_of_run
from tools.sweep.plan import FINISHED, STALE, UNFINISHED, plan, state_of_part, state_of_run
from tools.sweep.runs import LOG
from tools.sweep.spec import parse_spec

from .conftest import ROOT
from .small_sweep import arguments_of, records, small_spec, write_root


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_root(tmp_path_factory.mktemp("root"))


def sweep(spec: Mapping, root: Path, output: Path, *flags: str) -> subprocess.CompletedProcess:
    """Run a sweep in a separate process."""
    command = [sys.executable, "-m", "tools.sweep", *arguments_of(spec, root, output), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def sweep_here(monkeypatch, capfd) -> Callable[..., Done]:
    """Run a sweep from this process, which has already loaded torch; its runs are separate processes."""
    monkeypatch.chdir(ROOT)

    def sweep_here(spec: Mapping, root: Path, output: Path, *flags: str) -> Done:
        code = main([*arguments_of(spec, root, output), *flags])
        return Done(code, *capfd.readouterr())

    return sweep_here


@pytest.fixture(scope="module")
def swept(root, tmp_path_factory) -> Path:
    """The output of a sweep that has finished."""
    output = tmp_path_factory.mktemp("swept")
    done = sweep(small_spec(root), root, output, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture
def copy(swept, tmp_path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(swept, tmp_path / "copy"))


def test_a_training_and_its_tests_are_one_run_and_zero_shot_clip_is_one_run_per_dataset(swept):
    found = records(swept)
    (trained,) = (name for name in found if name.startswith("all_classes/train/eurosat/shots_2/CoOp_KDPL/"))
    tested = [name for name in found if name.startswith("all_classes/test_from_eurosat/")]
    assert [name.split("/")[2] for name in tested] == ["dtd", "eurosat"]
    for name in tested:
        assert found[name]["evaluations"][0]["total"] == 12
        assert found[name]["prompts_sha256"] == found[trained]["prompts_sha256"]
    zeroshot = "shots_16/ZeroshotCLIP"
    assert sum(name.startswith("all_classes/zeroshot/") and zeroshot in name for name in found) == 2
    assert len(found) == 5 and len(list(swept.rglob(LOG))) == 3


def test_what_is_finished_is_not_run_again(sweep_here, root, swept):
    before = {file: file.stat().st_mtime_ns for file in swept.rglob("results.json")}
    again = sweep_here(small_spec(root), root, swept)
    assert again.returncode == 0 and "3 runs, 3 already finished" in again.stderr
    assert {file: file.stat().st_mtime_ns for file in swept.rglob("results.json")} == before


def test_a_dry_run_lists_states_and_times_and_runs_nothing(sweep_here, root, copy):
    shutil.rmtree(copy / "all_classes" / "zeroshot")
    next(copy.glob("all_classes/test_from_eurosat/dtd/shots_2/CoOp_KDPL/*/seed1/results.json")).unlink()
    before = records(copy)
    listed = sweep_here(small_spec(root) | {"seeds": [1, 2]}, root, copy, "--dry-run")
    lines = [line.split() for line in listed.stdout.splitlines() if " all_classes/" in line]
    unfinished, second_seed, *_, gone = lines
    assert [line[0] for line in lines] == ["unfinished", "missing", "missing", "missing"]
    assert "unknown" in gone and "unknown" not in unfinished + second_seed
    assert listed.returncode == 0 and records(copy) == before
    assert "2 runs of unknown duration" in listed.stdout


@pytest.mark.parametrize("flags", [("--jobs", "0"), ("--gpus", "-1"), ("--gpus", "nan"), ("--retries", "-1")])
def test_a_dry_run_refuses_numbers_that_no_run_could_use(flags, sweep_here, root, tmp_path):
    listed = sweep_here(small_spec(root), root, tmp_path, "--dry-run", *flags)
    assert listed.returncode == 2 and listed.stderr.startswith(f"error: {flags[0]} is ") and not listed.stdout


def test_the_time_of_a_run_is_predicted_from_the_same_run_with_another_seed(root, swept):
    (run, *_) = plan(parse_spec(small_spec(root) | {"seeds": 2}), root, swept)
    recorded = [
        sum(phase["seconds"] for phase in json.loads(file.read_text())["phases"].values())
        for file in swept.rglob("results.json")
        if "ZeroshotCLIP" not in str(file)
    ]
    assert seconds_of_run(run) == pytest.approx(sum(recorded))


def test_the_time_of_a_new_run_is_scaled_from_similar_runs_by_images(root, swept):
    """Ten times the epochs, with the seconds per image of the earlier training and of its two tests."""
    spec = parse_spec(small_spec(root) | {"seeds": 2, "epochs": {"CoOp": 20}})
    (run, *_) = plan(spec, root, swept)
    records = [json.loads(file.read_text()) for file in swept.rglob("results.json") if "ZeroshotCLIP" not in str(file)]
    seconds = {mode: [] for mode in ("train", "eval")}
    for record in records:
        trains = record["mode"] == "train"
        images = 2 * record["visible"]["train_images"] if trains else record["evaluations"][0]["total"]
        seconds[record["mode"]].append(sum(phase["seconds"] for phase in record["phases"].values()) / images)
    # EuroSAT as published: 10 classes, of which 2 shots are drawn, and 8100 test images; DTD has 1692
    expected = seconds["train"][0] * 20 * 20 + sum(seconds["eval"]) / 2 * (8100 + 1692)
    assert len(seconds["eval"]) == 2 and seconds_of_run(run) == pytest.approx(expected)


def test_a_run_with_other_settings_is_stale_and_repeated(sweep_here, root, copy):
    (before,) = (r for name, r in records(copy).items() if "/train/" in name)
    spec = small_spec(root, **{"OPTIM.LR": 0.5})
    (run, *_) = plan(parse_spec(spec), root, copy)
    state, why = state_of_run(run)
    assert state == STALE and "OPTIM.LR: 0.002 before, 0.5 now" in why
    done = sweep_here(spec, root, copy)
    assert done.returncode == 0, done.stderr
    (after,) = (r for name, r in records(copy).items() if "/train/" in name)
    assert after["prompts_sha256"] != before["prompts_sha256"] and after["config"]["OPTIM"]["LR"] == 0.5
    assert {r["prompts_sha256"] for name, r in records(copy).items() if "/test_from_" in name} == {
        after["prompts_sha256"]
    }
    (kept,) = run.folder.glob(".replaced-*/results.json")
    assert json.loads(kept.read_text())["prompts_sha256"] == before["prompts_sha256"]


def test_tests_of_other_prompts_are_stale(root, copy):
    training, test, *_ = plan(parse_spec(small_spec(root)), root, copy)[0].parts
    assert state_of_part(test) == (FINISHED, "")
    record = Path(training.folder) / "results.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"prompts_sha256": "others"}))
    assert state_of_part(test)[0] == STALE


def test_a_broken_record_is_stale_and_an_interrupted_training_unfinished(root, copy):
    training, *_ = plan(parse_spec(small_spec(root)), root, copy)[0].parts
    record = Path(training.folder) / "results.json"
    record.write_text("{")
    assert state_of_part(training)[0] == STALE
    record.unlink()
    assert state_of_part(training) == (UNFINISHED, "")


def test_what_a_machine_lacks_is_reported_once_and_the_other_runs_are_done(sweep_here, root, copy):
    shutil.rmtree(copy / "all_classes")
    blocks = [{}, {"source": "dtd", "datasets": ["food101"], "settings": ["kdpl"], "seeds": [1, 2]}]
    done = sweep_here(small_spec(root) | {"settings": "zeroshot_student", "blocks": blocks}, root, copy)
    assert done.returncode == 1
    _, _, named = done.stderr.partition("FAILED, not started:\n")
    first, second, problem, *_ = named.splitlines()
    assert first.endswith("/seed1") and second.endswith("/seed2") and problem.startswith("Food101 needs ")
    assert "trying again" not in done.stderr and "2 runs finished, 2 failed" in done.stderr
    assert done.stderr.count("Food101 needs ") == 1
    assert not (copy / "all_classes" / "train" / "dtd").exists()


def test_a_run_that_fails_is_reported_with_the_end_of_its_log(sweep_here, root, copy):
    shutil.rmtree(copy / "all_classes")
    spec = small_spec(root, **{"DATALOADER.TEST.SAMPLER": "Shuffled"}) | {"settings": "zeroshot_student"}
    done = sweep_here(spec, root, copy)
    assert done.returncode == 1 and "0 runs finished, 2 failed" in done.stderr
    assert "trying again" not in done.stderr and done.stderr.count("unknown sampler 'Shuffled'") >= 2


@pytest.mark.skipif(
    not os.environ.get("KDPL_TEST_KILLS"), reason="takes minutes: KDPL_TEST_KILLS=1 kills real sweeps of the demo"
)
def test_a_sweep_of_the_demo_that_is_killed_twenty_times_ends_with_the_same_records(tmp_path):
    spec = yaml.safe_load((ROOT / "configs" / "sweeps" / "demo.yaml").read_text())
    spec["blocks"] = spec["blocks"][:1]
    spec |= {"seeds": [1], "epochs": dict.fromkeys(METHODS, 2), "shots": 4}
    data = tmp_path / "data"
    done = sweep(spec, data, tmp_path / "whole", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    whole = records(tmp_path / "whole")

    output, chance = tmp_path / "killed", random.Random(1)
    shutil.copytree(tmp_path / "whole", output, ignore=shutil.ignore_patterns("base2new"))
    for _ in range(20):
        command = [sys.executable, "-m", "tools.sweep", output / "spec.yaml", "--root", data, "--output", output]
        killed = subprocess.Popen([*command, "--jobs", "2"], cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(5, 25))
        killed.kill()
        killed.wait()
    done = sweep(spec, data, output, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert records(output) == whole
