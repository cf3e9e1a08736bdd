"""scripts/kdpl/base2new.sh: what it chooses, what it runs and what its table says."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpl.run_record import Evaluation, RunRecord
from tools.sweep.base2new_table import accuracies, table
from tools.sweep.choice import choose

from .conftest import ROOT

# The table


def write_record(folder: Path, half: str, correct: int, total: int = 20, **changes: object) -> str:
    per_class = [{"classname": f"{half}_{i}", "correct": 0, "total": total // 2} for i in range(2)]
    record = {
        "format": 1,
        "status": "finished",
        "mode": "eval",
        "trainer": "CoOp_KDPL",
        "backbone": "ViT-B/32",
        "dataset": "Caltech101",
        "subsample": half,
        "seed": 1,
        "shots": 16,
        "split_sha256": "s",
        "weights_sha256": {"student": "w"},
        "prompts_sha256": "p",
        "evaluations": [{"dataset": "Caltech101", "correct": correct, "total": total, "per_class": per_class}],
        **changes,
    }
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(record))
    return str(folder)


@pytest.fixture
def rows(tmp_path) -> list[tuple[str, ...]]:
    """A zero-shot row with 10 and 16 of 20 and 24 of 40 images correct, and a trained row with 15 and 5 of 20."""
    zeroshot = {"trainer": "ZeroshotCLIP", "prompts_sha256": None}
    return [
        (
            "student",
            write_record(tmp_path / "a", "base", 10, **zeroshot),
            write_record(tmp_path / "b", "new", 16, **zeroshot),
            write_record(tmp_path / "e", "all", 24, total=40, **zeroshot),
        ),
        ("prompts", write_record(tmp_path / "c", "base", 15), write_record(tmp_path / "d", "new", 5)),
    ]


def test_the_table_shows_accuracies_and_their_harmonic_mean(rows):
    lines = table(rows).splitlines()
    assert lines[0].split() == ["accuracy", "in", "%", "base", "new", "harmonic", "mean", "all", "classes"]
    assert lines[2].split() == ["student", "50.0", "80.0", "61.5", "60.0"]  # 2 * 50 * 80 / 130
    assert lines[3].split() == ["prompts", "75.0", "25.0", "37.5", "-"]  # 2 * 75 * 25 / 100; class-specific
    assert lines[5] == "Caltech101: 20 test images of 2 base classes, 20 of 2 new ones"
    assert lines[6].startswith("All classes: ") and len(lines) == 7


def test_the_harmonic_mean_with_nothing_right_is_zero():
    base, new = (
        RunRecord("eval", "CoOp", "DTD", 1, 16, "RN50", evaluations=[Evaluation("DTD", correct=correct, total=4)])
        for correct in (0, 1)
    )
    assert accuracies(base, new, new) == (0.0, 25.0, 0.0, 25.0)
    assert accuracies(base, base) == (0.0, 0.0, 0.0, None)


def test_results_of_the_demo_pair_on_photos_come_with_a_warning(tmp_path):
    demo = {"backbone": "demo:student"}
    row = ("x", write_record(tmp_path / "a", "base", 1, **demo), write_record(tmp_path / "b", "new", 1, **demo))
    assert table([row]).endswith("they say nothing about CLIP.")


@pytest.mark.parametrize(
    "half, changes, said",
    [
        ("new", {"dataset": "UCF101"}, "dataset of .* is UCF101, but Caltech101 for"),
        ("new", {"split_sha256": "other"}, "split_sha256"),
        ("new", {"total": 22}, "images_of_each_class"),
        ("new", {"prompts_sha256": "other"}, "prompts"),
        ("new", {"weights_sha256": {"student": "other"}}, "weights"),
        ("new", {"seed": 2}, "seed"),
        ("all", {"total": 40, "prompts_sha256": "other"}, "prompts"),
        ("all", {"total": 20}, "images_of_each_class"),
        ("base", {}, "is of the base classes, not of the new ones"),
        ("new", {"status": "running"}, "no finished evaluation"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(rows, tmp_path, half, changes, said):
    other = write_record(tmp_path / "other", half, 5, **changes)
    rows[1] = (*rows[1], other) if half == "all" else (*rows[1][:2], other)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        table(rows)


# The choice of models and configuration


@pytest.mark.parametrize(
    "dataset, trainer, given, chosen",
    [
        ("shapes", "CoOp_KDPL", {}, ("demo:student", "demo:teacher", "demo", "demo")),
        ("shapes_night", "MaPLe", {}, ("demo:student", "demo:teacher", "demo", "demo")),
        ("dtd", "CoOp_KDPL", {}, ("ViT-B/32", "ViT-L/14", "vit_b32_ctxv1", "vit_b32_ctxv1")),
        ("dtd", "CoCoOp", {"student": "RN50"}, ("RN50", "ViT-L/14") + ("rn50_c4_ep10_batch1_ctxv1",) * 2),
        ("dtd", "CoOp_KDPL", {"cfg": "demo"}, ("demo:student", "demo:teacher", "demo", "demo")),
        ("dtd", "CoOp_KDPL", {"cfg": "rn50_ctxv1"}, ("RN50", "ViT-L/14", "rn50_ctxv1", "rn50_ctxv1")),
        ("imagenet", "CoOp", {"transfers": True}, ("ViT-B/32", "ViT-L/14", "vit_b32_ctxv1", "vit_b32_ctxv1")),
        (
            "imagenet",
            "PromptSRC_KDPL",
            {"transfers": True, "student": "ViT-B/16"},
            ("ViT-B/16", "ViT-L/14") + ("vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets",) * 2,
        ),
    ],
)
def test_models_and_configuration_follow_from_what_is_given(monkeypatch, dataset, trainer, given, chosen):
    monkeypatch.chdir(ROOT)
    found = choose(dataset, trainer, **given)
    assert (found.student, found.teacher, found.cfg, found.folder) == chosen


@pytest.mark.parametrize(
    "trainer, given, folder",
    [
        ("CoOp_KDPL", {"student": "ViT-L/14"}, "vit_b32_ctxv1__student_ViT-L-14"),
        ("CoOp_KDPL", {"teacher": "RN50"}, "vit_b32_ctxv1__teacher_RN50"),
        ("CoOp_KDPL", {"class_agnostic": True}, "vit_b32_ctxv1__class_agnostic"),
        ("CoOp_KDPL", {"epochs": "3"}, "vit_b32_ctxv1__epochs_3"),
        ("CoOp", {"teacher": "RN50"}, "vit_b32_ctxv1"),  # which the training never sees
    ],
)
def test_whatever_changes_the_prompts_shows_in_the_folder(monkeypatch, trainer, given, folder):
    monkeypatch.chdir(ROOT)
    assert choose("dtd", trainer, **given).folder == folder


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("dtd", "CoOp_KDLP"), "did you mean 'CoOp_KDPL'"),
        (("dtdd", "CoOp"), "did you mean 'dtd.yaml'"),
        (("dtd", "CoOp", "vit"), "vit_b32_ctxv1.yaml"),
        (("dtd", "ZeroshotCLIP"), "nothing to train"),
        (("dtd", "VPT_KDPL", None, "RN50"), "a ResNet"),
        (("dtd", "CoOp", None, None, None, True), "CLASS_AGNOSTIC"),
        (("dtd", "CoOp", None, None, "ViT-L-14"), "did you mean 'ViT-L/14'"),
        (("dtd", "CoOp", None, None, None, False, "0"), "OPTIM.MAX_EPOCH is 0"),
    ],
)
def test_impossible_choices_are_refused_before_anything_is_fetched(monkeypatch, arguments, said):
    monkeypatch.chdir(ROOT)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        choose(*arguments)
    assert said in str(error.value)


# The command line of the scripts


@pytest.mark.parametrize(
    "script, arguments, settings, said",
    [
        ("base2new", "", {}, "Wrong number of arguments: 0"),
        ("base2new", "shapes", {}, "Wrong number of arguments: 1"),
        ("base2new", "shapes 1 CoOp demo more", {}, "Wrong number of arguments: 5"),
        ("base2new", "shapes one", {}, "The seed is 'one'; it takes a whole number"),
        ("base2new", "shappes 1", {}, "no dataset 'shappes'; choose from caltech101 .* shapes "),
        ("cross_dataset", "dtd 1 CoOp_KDLP", {}, "no trainer 'CoOp_KDLP'; choose from .* CoOp_KDPL "),
        ("few_shot", "dtd 1 CoOp vit", {}, "no configuration 'vit'; choose from .* vit_b32_ctxv1"),
        ("cross_dataset", "imagenet 1", {"TARGETS": "dtd mnist"}, "no dataset 'mnist'"),
        ("domain_generalization", "dtd 1", {}, "Only imagenet and shapes have shifted datasets; for dtd, name"),
        ("base2new", "shapes 1", {"SHOTS": "1 4"}, "SHOTS is '1 4'"),
        ("few_shot", "shapes 1", {"SHOTS": "1 0"}, "SHOTS is '1 0'"),
        ("zeroshot", "dtd 1", {"EPOCHS": "0"}, "EPOCHS is '0'; .* at least 1"),
        ("zeroshot", "", {}, "Wrong number of arguments: 0"),
        ("base2new", "dtd 1", {"CLASS_AGNOSTIC": "yes"}, "CLASS_AGNOSTIC is 'yes'; it takes 1 or 0"),
        ("sweep", "configs/sweeps/dmo.yaml", {}, "no sweep .*; configs/sweeps holds demo.yaml "),
    ],
)
def test_a_wrong_command_line_is_refused_before_python_starts(tmp_path, script, arguments, settings, said):
    done = run_script(script, *arguments.split(), KDPL_PYTHON=str(tmp_path / "not started"), **settings)
    assert done.returncode == 2 and done.stdout == ""
    usage, error = done.stderr.splitlines()
    assert usage.startswith(f"usage: bash scripts/kdpl/{script}.sh ") and re.search(said, error)


def test_a_script_prints_its_usage(tmp_path):
    done = run_script("zeroshot", "--help", KDPL_PYTHON=str(tmp_path / "not started"))
    assert done.returncode == 0 and done.stdout.startswith("usage: bash scripts/kdpl/zeroshot.sh DATASET [SEED]")


@pytest.mark.parametrize(
    "script, arguments, settings, passed_on",
    [
        ("base2new", "dtd 3", {}, "base2new dtd 3 CoOp_KDPL"),
        ("base2new", "dtd 3 CoOp vit_b32_ctxv1", {"EPOCHS": "2"}, "base2new dtd 3 CoOp vit_b32_ctxv1 --epochs 2"),
        ("few_shot", "dtd 1", {"SHOTS": "1 4", "CLASS_AGNOSTIC": "1"}, "--shots 1 4 --class-agnostic"),
        ("cross_dataset", "dtd 1", {"TARGETS": "eurosat ucf101"}, "--targets eurosat ucf101"),
        ("few_shot", "shapes 1", {"BACKBONE": "ViT-B/16", "TEACHER": "RN50"}, "--student ViT-B/16 --teacher RN50"),
        ("zeroshot", "dtd", {"CLASS_AGNOSTIC": "0"}, "zeroshot dtd 1 CoOp_KDPL --root"),
        ("sweep", "spec.yaml --jobs 2", {}, "spec.yaml --tables --jobs 2 --root"),
    ],
)
def test_a_script_is_one_call_of_tools_sweep(tmp_path, script, arguments, settings, passed_on):
    python = tmp_path / "python"  # accepted by env.sh
    python.write_text('#!/bin/sh\ncase "$*" in -m*) echo "$@";; esac\n')
    python.chmod(0o755)
    (tmp_path / "spec.yaml").touch()
    copy = tmp_path / "repository"  # env.sh records what it found
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    (copy / "configs").symlink_to(ROOT / "configs")
    settings |= {"KDPL_PYTHON": str(python), "DATA": "data"}
    done = run_script(script, *arguments.split(), root=copy, cwd=tmp_path, **settings)
    (line,) = done.stdout.splitlines()
    assert line.startswith("-m tools.sweep ") and passed_on in line
    assert line.endswith(f"--root {tmp_path}/data --output {copy}/output")


def run_script(
    script: str, *arguments: str, root: Path = ROOT, cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess:
    command = ["bash", str(root / "scripts" / "kdpl" / f"{script}.sh"), *arguments]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **settings}, capture_output=True, text=True)


# The script itself, on a few small photos


@pytest.fixture
def start(data, tmp_path) -> Callable[..., subprocess.Popen]:
    """Start the script on the small Caltech101, without any weights of CLIP and without a network."""

    def start(output: str, **settings: str) -> subprocess.Popen:
        return subprocess.Popen(
            ["bash", str(ROOT / "scripts" / "kdpl" / "base2new.sh"), "caltech101", "1"],
            env={
                **os.environ, "KDPL_PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "DATA": "data", "OUTPUT": output,
                "SHOTS": "2", "EPOCHS": "3", "KDPL_CLIP_CACHE": str(tmp_path), "KDPL_CLIP_MIRROR": "http://127.0.0.1:9",
                **settings,
            },
            cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def test_without_weights_the_demo_pair_is_used_and_only_what_is_missing_is_run_again(start, tmp_path):
    process = start("output")
    table, said = process.communicate()
    assert process.returncode == 0, said
    assert "CLIP's weights are not on this machine" in said and "ViT-B-32.pt" in said
    assert "Continuing with the demo pair" in said
    for row in ("zero-shot demo:student", "zero-shot demo:teacher", r"CoOp_KDPL \(demo__epochs_3, seed 1\)"):
        assert re.search(rf"^{row}( +[0-9]+\.[0-9]){{4}}$", table, re.MULTILINE)
    assert table.rstrip().endswith("they say nothing about CLIP.")

    train_base, test_base, test_new = (
        tmp_path / "output/base2new" / part / "caltech101/shots_2/CoOp_KDPL/demo__epochs_3/seed1"
        for part in ("train_base", "test_base", "test_new")
    )
    prompts = train_base / "prompt_learner" / "model.pth.tar-3"
    before, written = prompts.read_bytes(), {file: file.stat().st_mtime_ns for file in tmp_path.rglob("results.json")}
    assert len(written) == 10 and written.keys() >= {test_base / "results.json"}
    tested = json.loads((test_new / "results.json").read_text())["evaluations"]

    (train_base / "results.json").unlink()  # as if interrupted before it was written
    (test_new / "results.json").unlink()
    process = start("output")
    assert process.communicate()[0] == table and process.returncode == 0
    assert prompts.read_bytes() == before
    assert "\n== training CoOp_KDPL on base classes (" in said
    again = {file for file, time in written.items() if file.stat().st_mtime_ns != time}
    assert again == {train_base / "results.json", test_new / "results.json"}
    assert json.loads((test_new / "results.json").read_text())["evaluations"] == tested


def test_a_named_model_that_cannot_be_fetched_is_an_error(start, tmp_path):
    process = start("output", BACKBONE="ViT-B/16")
    table, said = process.communicate()
    assert process.returncode == 2 and table == "" and "ViT-B-16.pt" in said
    assert not (tmp_path / "output").exists()
