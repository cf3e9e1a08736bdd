"""What checkpoints and prompt files say, and which settings and students they are refused for."""

import json
from pathlib import Path

import pytest
import torch

import train
from kdpl.clip.loading import load_clip
from kdpl.prompts.prompt_file import read_prompt_file

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


def test_a_checkpoint_says_the_same_and_needs_no_pickled_objects(trained):
    checkpoint = trained / "prompt_learner" / "model.pth.tar-1"
    content = torch.load(checkpoint, weights_only=True)
    description = json.loads(content["description"])
    final = read_prompt_file(trained / "prompts.safetensors")[1]
    assert {**final, "accuracies": []} == description  # it is written before the test
    assert (final["method"], final["words"], final["epoch"]) == ("VPT", "a photo of a", 1)
    assert final["teacher"]["name"] == "demo:teacher" and final["labels_used"] is False
    assert sorted(final["classnames"]) == sorted(name.replace(" ", "_") for name in CLASSNAMES)


def test_another_file_of_the_same_weights_is_the_same_student(trained, photos, tmp_path):
    weights = load_clip("demo:student").model.state_dict()  # which are exact in half precision
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
