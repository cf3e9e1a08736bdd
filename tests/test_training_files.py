"""What a training leaves behind through the command line, in which order, and when it counts as the same run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import train
from kdpl.prompts import prompt_file
from kdpl.run_record import RunRecord
from tests.conftest import ROOT
from tests.tiny_clip import tiny_clip
from tests.tiny_datasets import write_jpeg

NAMES = ["red circle", "blue square", "green star"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with labelled photos, two students of the same shapes, a teacher, and a finished training, ``run``."""
    folder = tmp_path_factory.mktemp("files")
    for seed, name in enumerate(("student", "other", "teacher")):
        state = {key: tensor.contiguous() for key, tensor in tiny_clip(seed=seed).state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")
    for n in range(12):
        write_jpeg(folder / "photos" / "train" / NAMES[n % 3].replace(" ", "_") / f"{n}.jpg", n)
        write_jpeg(folder / "photos" / "test" / NAMES[n % 3].replace(" ", "_") / f"{n}.jpg", 100 + n)
    assert train.main(command(folder, folder / "run")) == 0
    return folder


def command(files: Path, output: Path, *flags: object, student: str = "student") -> list[str]:
    arguments = [
        "--root", files / "photos", "--output-dir", output, "--seed", 1, "--trainer", "CoOp_KDPL",
        "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
        "--config-file", ROOT / "configs/trainers/CoOp_KDPL/demo.yaml", "--backbone", files / f"{student}.safetensors",
        *flags, "OPTIM.MAX_EPOCH", 2, "DATALOADER.TRAIN_X.BATCH_SIZE", 4, "DATALOADER.NUM_WORKERS", 0,
        "INPUT.SIZE", "(32,32)", "TRAINER.KDPL.TEACHER", files / "teacher.safetensors",
    ]  # fmt: skip
    return list(map(str, arguments))


@pytest.fixture
def run(files, tmp_path) -> Path:
    """A copy of the finished training's folder."""
    return Path(shutil.copytree(files / "run", tmp_path / "run"))


def record_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def no_space_left(*args: object, **kwargs: object) -> None:
    raise OSError("no space left")


def description_of(folder: Path) -> dict:
    with safe_open(folder / "prompts.safetensors", "pt") as file:
        return json.loads(file.metadata()["kdpl"])


def test_prompts_are_written_after_the_test_and_before_the_record(files, tmp_path, monkeypatch, capsys):
    output, whole = tmp_path / "output", load_file(files / "run" / "prompts.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(prompt_file, "save_prompt_file", no_space_left)
        assert train.main(command(files, output)) == 2
    assert not (output / "prompts.safetensors").exists() and not (output / "results.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "write", no_space_left)
        assert train.main(command(files, output)) == 2
    assert "error: no space left" in capsys.readouterr().err and not (output / "results.json").exists()
    (tested,) = description_of(output)["accuracies"]
    assert tested["total"] == 12 and tested["split"] == "test"
    assert torch.equal(load_file(output / "prompts.safetensors")["ctx"], whole["ctx"])
    assert train.main(command(files, output)) == 0
    assert tested.items() <= record_of(output)["evaluations"][0].items()
    assert record_of(output)["prompts_sha256"] == record_of(files / "run")["prompts_sha256"]


@pytest.mark.parametrize("model_dir", ["", "prompts.safetensors", "prompt_learner/model.pth.tar-2"])
def test_a_folder_or_a_file_is_evaluated_and_left_as_it_is(model_dir, files, run, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert train.main(command(files, tmp_path / "eval", "--eval-only", "--model-dir", run / model_dir)) == 0
    evaluated, trained = record_of(tmp_path / "eval"), record_of(run)
    assert evaluated["prompts_sha256"] == trained["prompts_sha256"]
    assert evaluated["evaluations"] == trained["evaluations"]
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert not (tmp_path / "eval" / "prompts.safetensors").exists()


def test_an_evaluation_in_the_folder_of_the_training_keeps_its_prompts(files, run):
    before = (run / "prompts.safetensors").read_bytes()
    assert train.main(command(files, run, "--eval-only", "--model-dir", run)) == 0
    assert record_of(run)["mode"] == "eval" and (run / "prompts.safetensors").read_bytes() == before


@pytest.mark.parametrize("model_dir", ["", "prompts.safetensors"])
def test_another_student_of_the_same_shapes_is_refused_with_both_names(model_dir, files, run, tmp_path, capsys):
    flags = ("--eval-only", "--model-dir", run / model_dir)
    assert train.main(command(files, tmp_path / "eval", *flags, student="other")) == 2
    said = capsys.readouterr().err
    for name, where in (("student", "in the file"), ("other", "here")):
        assert f"{files / name}.safetensors (" in said and where in said
    assert not (tmp_path / "eval" / "results.json").exists()


@pytest.mark.parametrize("content", [b"", b"12345678{ no header", b"<html>"])
def test_a_file_that_is_not_a_prompt_file_is_named(content, files, tmp_path, capsys):
    (tmp_path / "prompts.safetensors").write_bytes(content)
    flags = ("--eval-only", "--model-dir", tmp_path / "prompts.safetensors")
    assert train.main(command(files, tmp_path / "eval", *flags)) == 2
    assert f"error: {tmp_path / 'prompts.safetensors'} is " in capsys.readouterr().err


# Settings that one side does not have


def older_keys(settings: dict) -> None:
    """The settings as they were before KgCoOp and custom templates."""
    for key in [key for key in settings if key.startswith("TRAINER.KGCOOP.") or key == "DATASET.TEMPLATE"]:
        del settings[key]


def key_with_another_default(settings: dict) -> None:
    del settings["OPTIM.MAX_EPOCH"]  # 10 by default, 2 here


def key_that_is_gone(settings: dict) -> None:
    settings["TRAINER.KDPL.OLD"] = 3


CHANGES = {
    older_keys: None,
    key_with_another_default: "OPTIM.MAX_EPOCH: 10 before, 2 now",
    key_that_is_gone: "TRAINER.KDPL.OLD: 3 before, None now",
}


def change_record(run: Path, change: Callable[[dict], None]) -> None:
    """Change the settings in results.json, by dotted keys."""
    record = record_of(run)

    def flat(node: dict, path: str = "") -> dict:
        if not isinstance(node, dict):
            return {path[:-1]: node}
        return {key: value for name, child in node.items() for key, value in flat(child, f"{path}{name}.").items()}

    settings = flat(record["config"])
    change(settings)
    record["config"] = {}
    for key, value in settings.items():
        *path, name = key.split(".")
        node = record["config"]
        for part in path:
            node = node.setdefault(part, {})
        node[name] = value
    (run / "results.json").write_text(json.dumps(record))


def change_resume_state(run: Path, change: Callable[[dict], None]) -> None:
    state = torch.load(run / "resume.pth", weights_only=True)
    settings = json.loads(state["settings"])
    change(settings)
    torch.save(state | {"settings": json.dumps(settings)}, run / "resume.pth")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_finished_run_is_known_by_its_settings_or_their_defaults(change, files, run, capsys):
    change_record(run, change)
    code = train.main(command(files, run, "--skip-finished"))
    printed = capsys.readouterr()
    if CHANGES[change] is None:
        assert code == 0 and f"{run} already contains the results of this run" in printed.out
    else:
        assert code == 2 and "results.json was made with other settings, so this run cannot continue it" in printed.err
        assert printed.err.count(" before, ") == 1 and CHANGES[change] in printed.err


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_training_is_resumed_with_the_same_settings_or_their_defaults(change, files, run, capsys):
    prompts = record_of(run)["prompts_sha256"]
    (run / "results.json").unlink()
    change_resume_state(run, change)
    code = train.main(command(files, run))
    printed = capsys.readouterr()
    if CHANGES[change] is None:
        assert code == 0 and "after epoch 2" in printed.out and record_of(run)["prompts_sha256"] == prompts
    else:
        assert code == 2 and "resume.pth was made with other settings" in printed.err
        assert printed.err.count(" before, ") == 1 and CHANGES[change] in printed.err


def test_settings_that_a_state_holds_in_another_form_are_refused_by_name(files, run, capsys):
    state = torch.load(run / "resume.pth", weights_only=True)
    for settings in ("{", "[1]", "null", 3):
        torch.save(state | {"settings": settings}, run / "resume.pth")
        assert train.main(command(files, run)) == 2
        assert f"error: {run / 'resume.pth'} is not a training state" in capsys.readouterr().err
