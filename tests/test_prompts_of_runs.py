"""What a training leaves besides checkpoints, and what an evaluation may be given."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import train
from kdpl.clip.loading import load_clip
from kdpl.prompts.inert_files import read_checkpoint, save_atomically
from kdpl.prompts.prompt_file import read_prompt_file
from kdpl.run_record import RunRecord

from .conftest import ROOT
from .tiny_datasets import write_jpeg

CLASSNAMES = ["red striped circle", "blue dotted square"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Eight labelled pictures of two classes, four of them for testing."""
    folder = tmp_path_factory.mktemp("photos")
    for part in ("train", "test"):
        for i in range(4):
            write_jpeg(folder / part / CLASSNAMES[i % 2].replace(" ", "_") / f"{i}.jpg", i)
    return folder


def run(photos: Path, output: Path, *arguments: str, method: str = "VPT") -> int:
    command = [
        "--root", photos, "--seed", 1, "--trainer", f"{method}_KDPL", "--output-dir", output,
        "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
        "--config-file", ROOT / f"configs/trainers/{method}_KDPL/demo.yaml", *arguments,
        "OPTIM.MAX_EPOCH", 1, "DATALOADER.TRAIN_X.BATCH_SIZE", 2,
    ]  # fmt: skip
    return train.main([str(word) for word in command])


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    assert run(photos, output) == 0
    return output


def test_prompts_are_there_after_the_test_and_before_the_record(photos, tmp_path, monkeypatch, capsys):
    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(RunRecord, "write", full_disk)
    assert run(photos, tmp_path) == 2
    assert not (tmp_path / "results.json").exists()
    tensors, description, _ = read_prompt_file(tmp_path / "prompts.safetensors")
    assert tensors["visual"].shape == (8, 128)
    (accuracy,) = description["accuracies"]
    assert accuracy["total"] == 4 and accuracy["split"] == "test"
    assert description["student"]["fingerprint"] == load_clip("demo:student").fingerprint
    assert (description["method"], description["words"], description["epoch"]) == ("VPT", "a photo of a", 1)
    assert description["teacher"]["name"] == "demo:teacher" and description["labels_used"] is False
    assert sorted(description["classnames"]) == sorted(name.replace(" ", "_") for name in CLASSNAMES)


def test_a_checkpoint_says_the_same_and_needs_no_pickled_objects(trained):
    checkpoint = trained / "prompt_learner" / "model.pth.tar-1"
    content = torch.load(checkpoint, weights_only=True)
    description = json.loads(content["description"])
    final = read_prompt_file(trained / "prompts.safetensors")[1]
    assert {**final, "accuracies": []} == description  # it is written before the test


@pytest.mark.parametrize("as_file", [False, True])
def test_an_evaluation_leaves_the_prompts_of_the_training_as_they_are(as_file, trained, photos, tmp_path):
    prompts = trained / "prompts.safetensors"
    before = prompts.read_bytes(), prompts.stat().st_mtime_ns
    assert run(photos, tmp_path, "--eval-only", "--model-dir", prompts if as_file else trained) == 0
    assert (prompts.read_bytes(), prompts.stat().st_mtime_ns) == before
    assert not (tmp_path / "prompts.safetensors").exists()
    counts = [json.loads((folder / "results.json").read_text())["evaluations"] for folder in (trained, tmp_path)]
    assert counts[0] == counts[1]


def test_prompts_on_another_student_of_the_same_shapes_are_refused(trained, photos, tmp_path, capsys):
    weights = load_clip("demo:student").model.state_dict()
    weights["visual.proj"] = weights["visual.proj"] + 0.01
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, tmp_path / "other.safetensors")
    arguments = ("--eval-only", "--model-dir", trained, "--backbone", tmp_path / "other.safetensors")
    assert run(photos, tmp_path / "out", *arguments) == 2
    message = capsys.readouterr().err
    assert "student: demo:student (" in message and "other.safetensors (" in message
    assert not (tmp_path / "out" / "results.json").exists()


def test_another_file_of_the_same_weights_is_the_same_student(trained, photos, tmp_path):
    weights = load_clip("demo:student").model.state_dict()  # which half precision holds exactly
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    torch.save(half, tmp_path / "student.pt")
    arguments = ("--eval-only", "--model-dir", trained, "--backbone", tmp_path / "student.pt")
    assert run(photos, tmp_path / "out", *arguments) == 0


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("TRAINER.VPT.CTX_INIT", "a poster of a"), "words: 'a photo of a' in the file, 'a poster of a' here"),
        (("TRAINER.VPT.N_CTX_VISION", 4), r"visual: shape (8, 128) in the file, (4, 128) as configured"),
        (("TRAINER.VPT.PROMPT_DEPTH_VISION", 2), "unknown: deep_visual.1 (8, 128)"),
    ],
)
def test_prompts_with_other_words_lengths_or_depths_are_refused(pair, message, trained, photos, tmp_path, capsys):
    command = [
        "--root", photos, "--seed", 1, "--trainer", "VPT_KDPL", "--output-dir", tmp_path, "--eval-only",
        "--model-dir", trained, "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
        "--config-file", ROOT / "configs/trainers/VPT_KDPL/demo.yaml", *pair,
    ]  # fmt: skip
    assert train.main([str(word) for word in command]) == 2
    assert message in capsys.readouterr().err


def without(settings: dict, *keys: str) -> dict:
    return {key: value for key, value in settings.items() if not key.startswith(keys)}


def test_a_state_written_before_a_key_existed_resumes_and_an_unknown_key_is_named(photos, tmp_path, capsys):
    assert run(photos, tmp_path) == 0
    (tmp_path / "results.json").unlink()
    file = tmp_path / "resume.pth"
    content = read_checkpoint(file)
    settings = json.loads(content["settings"])
    assert any(key.startswith("TRAINER.KGCOOP.") for key in settings)
    save_atomically(file, content | {"settings": json.dumps(without(settings, "TRAINER.KGCOOP.", "DATASET.DRAW"))})
    assert run(photos, tmp_path) == 0
    assert "after epoch 1" in capsys.readouterr().out

    save_atomically(file, content | {"settings": json.dumps(settings | {"TRAINER.VPT.OLD": 3})})
    assert run(photos, tmp_path) == 2
    assert "TRAINER.VPT.OLD: 3 before" in capsys.readouterr().err


def test_a_record_written_before_a_key_existed_is_finished(trained, photos, tmp_path, capsys):
    record = json.loads((trained / "results.json").read_text())
    for node, key in ((record["config"]["TRAINER"], "KGCOOP"), (record["config"]["DATASET"], "DRAW")):
        del node[key]
    (tmp_path / "results.json").write_text(json.dumps(record))
    assert run(photos, tmp_path, "--skip-finished") == 0
    assert "holds the results of this run already" in capsys.readouterr().out
    assert load_file(trained / "prompts.safetensors").keys() == {"visual", "deep_visual.0", "deep_visual.1"}
