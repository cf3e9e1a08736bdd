"""Files of prompts: ours, published ones, damaged ones, hostile ones."""

import io
import os
import random
import zipfile
from collections import OrderedDict
from functools import cache
from pathlib import Path

import pytest
import torch

from kdpl.clip.loaded import LoadedCLIP
from kdpl.methods import METHODS
from kdpl.prompts import PromptLearner, prompt_file
from kdpl.prompts.checkpoints import find_checkpoint, save_checkpoint
from kdpl.prompts.inert_files import read_checkpoint
from kdpl.prompts.prompted_clip import PromptedCLIP
from tests import test_prompt_learners
from tests.test_prompt_learners import CLASSNAMES, images
from tests.tiny_clip import loaded


def student(name: str) -> PromptedCLIP:
    """A student with one of the learners of test_prompt_learners, or of a method that shares one of them."""
    if name not in test_prompt_learners.LEARNERS:
        name = next(other for other, method in METHODS.items() if method.learner is METHODS[name].learner)
    return test_prompt_learners.student(name)


@cache
def clip_of_all() -> LoadedCLIP:
    return loaded()


def save_prompts(path: Path, method: str, model: PromptedCLIP, epoch: int = 5) -> None:
    description = prompt_file.describe_prompts(method, {}, model.prompt_learner, clip_of_all(), epoch=epoch)
    save_checkpoint(path, model.prompt_learner, description, {"val_result": 81.5})


def load_prompts(path: Path, method: str, learner: PromptLearner, clip: LoadedCLIP | None = None) -> dict | None:
    return prompt_file.load_prompts(path, method, learner, clip or clip_of_all())


def published(name: str) -> tuple[dict, torch.nn.Module]:
    """A checkpoint as the published code writes it: the learned tensors among the rest of the model, in half precision,
    with the objects of an optimizer and a scheduler that holds another one."""
    model = student(name)
    learner = model.prompt_learner
    state = OrderedDict()
    for ours, tensor in learner.state_dict().items():
        tensor.copy_(tensor.half().float())
        state[learner.official_names.get(ours, ours)] = tensor.half()
    prefix = "prompt_learner." if METHODS[name].learner.learns_visual else ""
    state[f"{prefix}token_prefix"] = torch.zeros(5, 1, 64)
    state[f"{prefix}token_suffix"] = torch.zeros(5, 72, 64)
    if prefix:
        state["image_encoder.proj"] = model.clip.model.visual.proj.clone()
        state["text_encoder.positional_embedding"] = model.clip.model.positional_embedding.clone()
        state["prompt_learner.ZS_image_encoder.conv1.weight"] = model.clip.model.visual.conv1.weight.clone()
        state["logit_scale"] = model.clip.model.logit_scale.clone()
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    scheduler = {"last_epoch": 1, "successor": schedule}  # an object: refused by loading that is merely "safe"
    return {"state_dict": state, "epoch": 5, "optimizer": optimizer.state_dict(), "scheduler": scheduler}, model


@pytest.mark.parametrize("name", METHODS)
def test_a_published_checkpoint_gives_the_same_logits(name, tmp_path):
    content, source = published(name)
    torch.save(content, tmp_path / "model.pth.tar-5")
    model = student(name)
    torch.nn.init.zeros_(next(model.prompt_learner.parameters()))
    load_prompts(tmp_path / "model.pth.tar-5", name, model.prompt_learner)
    batch = images(2, model.clip.model)
    torch.testing.assert_close(model(batch), source(batch))


def test_published_maple_prompts_for_missing_blocks_are_ignored(tmp_path):
    content, source = published("MaPLe")
    for n in (3, 4):  # for the fifth and the sixth block of towers with four
        content["state_dict"][f"prompt_learner.compound_prompts_text.{n}"] = torch.ones(2, 64)
        content["state_dict"][f"prompt_learner.compound_prompt_projections.{n}.weight"] = torch.ones(64, 64)
    torch.save(content, tmp_path / "deep")
    model = student("MaPLe")
    torch.nn.init.zeros_(next(model.prompt_learner.parameters()))
    load_prompts(tmp_path / "deep", "MaPLe", model.prompt_learner)
    batch = images(2, model.clip.model)
    torch.testing.assert_close(model(batch), source(batch))


@pytest.mark.parametrize("name", METHODS)
def test_our_checkpoint_is_kilobytes_and_loads_safely(name, tmp_path):
    model = student(name)
    path = tmp_path / "model.pth.tar-5"
    save_prompts(path, name, model)
    n_bytes = sum(4 * parameter.numel() for parameter in model.prompt_learner.parameters())
    assert path.stat().st_size < n_bytes + 20_000
    assert torch.load(path, weights_only=True)["epoch"] == 5
    expected = {key: tensor.clone() for key, tensor in model.prompt_learner.state_dict().items()}
    torch.nn.init.zeros_(next(model.prompt_learner.parameters()))
    load_prompts(path, name, model.prompt_learner)
    assert read_checkpoint(path)["settings"] == {"val_result": 81.5}
    assert all(torch.equal(tensor, expected[key]) for key, tensor in model.prompt_learner.state_dict().items())


def test_a_checkpoint_of_another_method_is_named(tmp_path):
    save_prompts(tmp_path / "file", "CoOp", student("CoOp"))
    with pytest.raises(ValueError, match="contains CoOp prompts, but the trainer is for MaPLe"):
        load_prompts(tmp_path / "file", "MaPLe", student("MaPLe").prompt_learner)


def test_missing_and_unknown_tensors_are_listed(tmp_path):
    content, _ = published("MaPLe")
    del content["state_dict"]["prompt_learner.proj.bias"]
    content["state_dict"]["prompt_learner.compound_prompts_text.2"] = torch.zeros(2, 64)
    torch.save(content, tmp_path / "file")
    with pytest.raises(ValueError) as error:
        load_prompts(tmp_path / "file", "MaPLe", student("MaPLe").prompt_learner)
    assert "missing: prompt_learner.proj.bias (128,)" in str(error.value)
    assert "unknown: prompt_learner.compound_prompts_text.2 (2, 64)" in str(error.value)


def test_a_published_checkpoint_of_another_method_lists_the_difference(tmp_path):
    content, _ = published("PromptSRC")
    torch.save(content, tmp_path / "file")
    with pytest.raises(ValueError, match="missing: meta_net.linear1.weight"):
        load_prompts(tmp_path / "file", "CoCoOp", student("CoCoOp").prompt_learner)


def test_other_lengths_are_listed_with_both_sides(tmp_path):
    save_prompts(tmp_path / "file", "CoOp", student("CoOp"))
    with pytest.raises(ValueError, match="n_ctx: 4 in the file, 3 here"):
        load_prompts(tmp_path / "file", "CoOp", student("CoOp random").prompt_learner)
    torch.save(published("CoOp")[0], tmp_path / "file")
    with pytest.raises(ValueError, match=r"ctx: shape \(4, 64\) in the file, \(3, 64\) as configured"):
        load_prompts(tmp_path / "file", "CoOp", student("CoOp random").prompt_learner)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_executed(tmp_path):
    content, source = published("CoOp")
    content["optimizer"] = Hostile(tmp_path / "executed")
    torch.save(content, tmp_path / "file")
    model = student("CoOp")
    load_prompts(tmp_path / "file", "CoOp", model.prompt_learner)
    assert torch.equal(model.prompt_learner.ctx, source.prompt_learner.ctx)
    assert not (tmp_path / "executed").exists()


class Program(torch.nn.Module):
    """As TorchScript, it writes the file as soon as it is loaded."""

    def __init__(self, path):
        super().__init__()
        self.path = str(path)

    @torch.jit.export
    def __getstate__(self):
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.path, self.training = state
        torch.save(torch.zeros(1), self.path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript, in newer torch
def test_a_torchscript_program_is_not_run(tmp_path):
    torch.jit.save(torch.jit.script(Program(tmp_path / "executed")), tmp_path / "file")
    with pytest.raises(ValueError, match="is a TorchScript program"):
        read_checkpoint(tmp_path / "file")
    assert not (tmp_path / "executed").exists()
    torch.jit.load(tmp_path / "file")  # this executes it
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_a_file_that_is_not_a_checkpoint_is_named(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="file is not a checkpoint, or is damaged"):
        read_checkpoint(tmp_path / "file")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_cut_at_any_length_is_named(zipped, tmp_path):
    torch.save(published("CoOp")[0], tmp_path / "whole", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "whole").read_bytes()
    for length in [*range(0, 400, 3), *range(400, len(whole) - 1, len(whole) // 100)]:
        (tmp_path / "file").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="file is not a checkpoint, or is damaged"):
            read_checkpoint(tmp_path / "file")


def with_damaged_pickle(archive: bytes, rng: random.Random) -> bytes:
    """The archive with one to three bytes of its pickle replaced, and a checksum that fits again."""
    damaged = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            content = bytearray(source.read(name))
            for _ in range(rng.randint(1, 3) if name.endswith("data.pkl") else 0):
                content[rng.randrange(len(content))] = rng.randrange(256)
            target.writestr(name, bytes(content))
    return damaged.getvalue()


def test_other_bytes_in_a_checkpoint_are_read_or_refused_with_a_message(tmp_path):
    torch.save(published("CoOp")[0], tmp_path / "whole")
    whole, learner, rng = (tmp_path / "whole").read_bytes(), student("CoOp").prompt_learner, random.Random(0)
    refused = 0
    for _ in range(400):
        (tmp_path / "file").write_bytes(with_damaged_pickle(whole, rng))
        try:
            load_prompts(tmp_path / "file", "CoOp", learner)
        except ValueError as error:
            assert str(tmp_path / "file") in str(error)
            refused += 1
    assert 100 < refused < 400


def test_a_file_that_does_not_exist_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "nothing")


def test_the_epoch_asked_for_is_found_and_without_one_the_best_or_the_latest(tmp_path):
    for epoch in (2, 10):
        save_prompts(tmp_path / "prompt_learner" / f"model.pth.tar-{epoch}", "CoOp", student("CoOp"), epoch)
    assert find_checkpoint(tmp_path, "prompt_learner", 2).name == "model.pth.tar-2"
    assert find_checkpoint(tmp_path, "prompt_learner").name == "model.pth.tar-10"
    with pytest.raises(FileNotFoundError, match="Available epochs: 2, 10"):
        find_checkpoint(tmp_path, "prompt_learner", 7)
    with pytest.raises(FileNotFoundError, match="models of another method, in prompt_learner"):
        find_checkpoint(tmp_path, "VLPromptLearner", 2)
    with pytest.raises(FileNotFoundError, match="--model-dir must be the output folder"):
        find_checkpoint(tmp_path / "nowhere", "prompt_learner", 2)
    (tmp_path / "prompt_learner" / "model-best.pth.tar").touch()
    assert find_checkpoint(tmp_path, "prompt_learner").name == "model-best.pth.tar"


@pytest.mark.parametrize("name", ["model.pth.tar-²", "model.pth.tar", "model_best.pth.tar"])
def test_a_users_model_under_another_name_is_called_misnamed_and_not_of_another_method(name, tmp_path):
    (tmp_path / "prompt_learner").mkdir()
    (tmp_path / "prompt_learner" / name).touch()
    with pytest.raises(FileNotFoundError, match=f"contains {name}, but checkpoints must be called .* Rename the file"):
        find_checkpoint(tmp_path, "prompt_learner")
    (tmp_path / "prompt_learner" / "model-best.pth.tar").touch()
    with pytest.raises(FileNotFoundError, match="contains only the best model: omit --load-epoch"):
        find_checkpoint(tmp_path, "prompt_learner", 3)


def test_classnames_of_the_tests_are_not_those_of_the_checkpoint(tmp_path):
    save_prompts(tmp_path / "file", "CoOp", student("CoOp"))
    model = student("CoOp")
    model.set_classnames([*CLASSNAMES, "cup"])
    load_prompts(tmp_path / "file", "CoOp", model.prompt_learner)
    assert model(images(2, model.clip.model)).shape == (2, 6)
