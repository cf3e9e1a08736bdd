"""Prompt files say what they belong to; the wrong ones and damaged ones are refused with the reason."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

import kdpl
from kdpl.clip.loaded import LoadedCLIP
from kdpl.methods import METHODS
from kdpl.prompts import PromptLearner
from kdpl.prompts.checkpoints import save_checkpoint
from kdpl.prompts.inert_files import read_checkpoint
from kdpl.prompts.prompt_file import KEY, describe_prompts, load_prompts, save_prompt_file
from tests.tiny_clip import CLASSNAMES, images, tiny_clip

SAVED = ("safetensors", "checkpoint")


@pytest.fixture(scope="module")
def students(tmp_path_factory) -> dict[str, LoadedCLIP]:
    """Two of the same shapes and different weights, read from files."""
    folder = tmp_path_factory.mktemp("students")
    for seed, name in enumerate(("one", "two")):
        save_file({key: t.contiguous() for key, t in tiny_clip(seed=seed).state_dict().items()}, folder / name)
    return {name: kdpl.load_clip(str(folder / name)) for name in ("one", "two")}


def learner_of(clip: LoadedCLIP, method: str, seed: int = 1, **settings) -> tuple[PromptLearner, dict]:
    complete = METHODS[method].complete(settings)
    return METHODS[method].build_learner(clip, complete, len(CLASSNAMES), seed), complete


def write(path: Path, clip: LoadedCLIP, method: str = "CoOp", kind: str = "safetensors", **settings) -> dict:
    """Random prompts in a file of one of the two kinds; returns their tensors."""
    learner, complete = learner_of(clip, method, seed=5, **settings)
    for parameter in learner.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    description = describe_prompts(method, complete, learner, clip, classnames=CLASSNAMES, epoch=3)
    if kind == "safetensors":
        save_prompt_file(path, learner, description)
    else:
        save_checkpoint(path, learner, description, {"val_result": 81.5})
    return dict(learner.state_dict())


def rewrite(path: Path, change: Callable[[dict], object]) -> None:
    """Replace the description of a file by what ``change`` makes of it; text is written as it is."""

    def changed(text: str) -> str:
        found = change(json.loads(text))
        return found if isinstance(found, str) else json.dumps(found)

    if path.read_bytes()[8:9] == b"{":
        with safe_open(path, "pt") as file:
            text, tensors = file.metadata()[KEY], {name: file.get_tensor(name) for name in file.keys()}
        path.write_bytes(save(tensors, {KEY: changed(text)}))
    else:
        content = torch.load(path, weights_only=True)
        torch.save(content | {"description": changed(content["description"])}, path)


@pytest.mark.parametrize("kind", SAVED)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_written_is_read_back_with_its_settings_and_classnames(method, kind, students, tmp_path):
    expected = write(tmp_path / "file", students["one"], method, kind)
    classifier = kdpl.load(tmp_path / "file", device="cpu")
    found = classifier.model.prompt_learner.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
    assert classifier.classnames == CLASSNAMES and classifier.description["settings"] == METHODS[method].complete({})
    classifier.save(tmp_path / "again.safetensors")
    batch = images(2, tiny_clip())
    again = kdpl.load(tmp_path / "again.safetensors", device="cpu").probabilities(batch)
    torch.testing.assert_close(again, classifier.probabilities(batch))


def test_settings_other_than_the_published_ones_come_back_by_themselves(students, tmp_path):
    settings = {"n_ctx": 3, "ctx_init": "", "class_specific": True, "class_token_position": "middle"}
    expected = write(tmp_path / "file", students["one"], **settings)
    learner = kdpl.load(tmp_path / "file", device="cpu").model.prompt_learner
    assert learner.class_token_position == "middle" and learner.class_specific
    assert torch.equal(learner.ctx, expected["ctx"]) and learner.ctx.shape == (5, 3, 64)


@pytest.mark.parametrize("kind", SAVED)
def test_another_student_of_the_same_shapes_is_refused_with_both_names(kind, students, tmp_path):
    write(tmp_path / "file", students["one"], kind=kind)
    one, two = students["one"], students["two"]
    said = rf"(?s)file does not belong.*student: {one.name} \({one.fingerprint[:12]}\) in the file, {two.name} \("
    with pytest.raises(ValueError, match=said):
        kdpl.load(tmp_path / "file", device="cpu", student=two.name)
    with pytest.raises(ValueError, match=said):
        load_prompts(tmp_path / "file", "CoOp", learner_of(two, "CoOp")[0], two)


def test_the_same_weights_by_another_name_are_the_same_student(students, tmp_path):
    write(tmp_path / "file", students["one"])
    torch.save(students["one"].model.state_dict(), tmp_path / "renamed.pt")
    kdpl.load(tmp_path / "file", device="cpu", student=str(tmp_path / "renamed.pt"))


@pytest.mark.parametrize(
    "method, settings, said",
    [
        ("VPT", {"ctx_init": "a poster of a"}, "words: 'a photo of a' in the file, 'a poster of a' here"),
        ("CoOp", {"ctx_init": "a poster of a"}, "words: 'a photo of a' in the file"),
        ("CoOp", {"class_token_position": "front"}, "class_token_position: 'end' in the file, 'front' here"),
        ("CoOp", {"ctx_init": "", "n_ctx": 3}, "n_ctx: 4 in the file, 3 here"),
        ("MaPLe", {"n_ctx": 3}, "n_ctx: 2 in the file, 3 here"),
        ("MaPLe", {"depth": 2}, r"unknown: compound_prompts_text.1 \(2, 64\)"),
        ("VPT", {"depth": 3}, r"unknown: deep_visual.2 \(8, 128\)"),
        ("VPT", {"n_vis": 5}, r"visual: shape \(8, 128\) in the file, \(5, 128\) as configured"),
        ("PromptSRC", {"depth_text": 1}, "unknown: deep_text.0"),
        ("PromptSRC", {"n_vis": 3}, r"visual: shape \(4, 128\) in the file, \(3, 128\)"),
        ("CoCoOp", {"ctx_init": "a b"}, "n_ctx: 4 in the file, 2 here"),
        ("CoOp", {"ctx_init": "", "class_specific": True}, "words: 'a photo of a' in the file, 'X X X X' here"),
    ],
)
def test_other_words_places_lengths_and_depths_are_refused_with_both_sides(method, settings, said, students, tmp_path):
    write(tmp_path / "file", students["one"], method)
    learner, complete = learner_of(students["one"], method, **settings)
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    with pytest.raises(ValueError, match=said):
        kdpl.load(tmp_path / "file", device="cpu", settings=complete)
    with pytest.raises(ValueError, match=said):
        load_prompts(tmp_path / "file", method, learner, students["one"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


@pytest.mark.parametrize(
    "values",
    [
        torch.full((4, 64), float("nan")), torch.zeros(4, 64).index_fill_(1, torch.tensor(3), float("-inf")),
        torch.ones(4, 64, dtype=torch.int32), torch.ones(4, 64, dtype=torch.complex64),
    ],
    ids=["nan", "inf", "integer", "complex"],
)  # fmt: skip
def test_anything_but_finite_real_numbers_is_refused(values, students, tmp_path):
    write(tmp_path / "file", students["one"], kind="checkpoint")
    content = torch.load(tmp_path / "file", weights_only=True)
    torch.save(content | {"state_dict": {"ctx": values}}, tmp_path / "file")
    save_file({"ctx": values}, tmp_path / "bare", {KEY: content["description"]})
    for file in ("file", "bare"):
        with pytest.raises(ValueError, match=f"{file} is damaged: ctx .* values that are not finite real numbers"):
            kdpl.load(tmp_path / file, device="cpu")


def test_a_file_without_a_description_is_loaded_with_a_line_on_what_was_not_checked(students, tmp_path, capsys):
    expected, clip = write(tmp_path / "file", students["one"]), students["two"]
    save_file(expected, tmp_path / "bare")
    learner = learner_of(clip, "CoOp")[0]
    assert load_prompts(tmp_path / "bare", "CoOp", learner, clip) is None
    assert torch.equal(learner.ctx, expected["ctx"])
    said = "does not record the student, words and settings of its prompts, so they could not be checked."
    assert capsys.readouterr().out == f"{tmp_path / 'bare'} {said}\n"
    with pytest.raises(ValueError, match="bare does not record the method and student"):
        kdpl.load(tmp_path / "bare", device="cpu")
    classifier = kdpl.load(tmp_path / "bare", CLASSNAMES, device="cpu", method="CoOp", student=clip.name)
    classifier.save(tmp_path / "again")  # with what the caller knew
    assert (
        kdpl.load(tmp_path / "again", CLASSNAMES, device="cpu").description["student"]["fingerprint"]
        == clip.fingerprint
    )
    assert capsys.readouterr().out.count("could not be checked.\n") == 1


def without(*keys: str) -> Callable[[dict], dict]:
    return lambda found: {key: value for key, value in found.items() if key not in keys}


DAMAGES = {
    "cut off": (lambda found: json.dumps(found)[:100], "is damaged: its description is not JSON"),
    "nested too deeply": (lambda found: 100_000 * "[", "is damaged: its description is not JSON"),
    "empty": (lambda found: "", "is damaged: its description is not JSON"),
    "a list": (lambda found: [found], "is damaged: its description is a list"),
    "null": (lambda found: "null", "is damaged: its description is a NoneType"),
    "no method": (without("method"), "is damaged: in its description, method is missing"),
    "no student": (without("student"), "is damaged: in its description, student is missing"),
    "no words": (without("words", "n_ctx"), "is damaged: in its description, words is missing, n_ctx is missing"),
    "no settings": (without("settings"), "is damaged: in its description, settings is missing"),
    "no format": (without("format", "words"), "is damaged: in its description, words is missing"),
    "method a number": (lambda found: found | {"method": 3}, "method is 3"),
    "student a name": (lambda found: found | {"student": "ViT-B/32"}, "student is 'ViT-B/32'"),
    "student empty": (lambda found: found | {"student": {}}, "student name is missing, student fingerprint is missing"),
    "settings a list": (lambda found: found | {"settings": []}, r"settings is \[\]"),
    "classnames a text": (lambda found: found | {"classnames": "cat"}, "classnames is not a list of names"),
    "classnames numbers": (lambda found: found | {"classnames": [1]}, "classnames is not a list of names"),
    "unknown method": (lambda found: found | {"method": "Coop"}, "no method 'Coop'.*did you mean 'CoOp'"),
    "unknown setting": (lambda found: found | {"settings": {"n": 3}}, "CoOp has no setting 'n'"),
    "a setting of another type": (lambda found: found | {"settings": {"n_ctx": "3"}}, "n_ctx of CoOp is '3'"),
    "a negative length": (lambda found: found | {"settings": {"n_ctx": -3, "ctx_init": ""}}, "n_ctx of CoOp is -3"),
}


@pytest.mark.parametrize("kind", SAVED)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_description_is_refused_naming_the_file(damage, kind, students, tmp_path):
    change, said = DAMAGES[damage]
    write(tmp_path / "file", students["one"], kind=kind)
    rewrite(tmp_path / "file", change)
    with pytest.raises(ValueError, match=said) as error:
        kdpl.load(tmp_path / "file", device="cpu")
    assert str(tmp_path / "file") in str(error.value)


@pytest.mark.parametrize("content", [{"description": 3}, {"description": torch.zeros(2)}, {"method": 7}])
def test_a_checkpoint_with_something_else_for_a_description_is_refused(content, students, tmp_path):
    learner = learner_of(students["one"], "CoOp")[0]
    torch.save({"format": "kdpl-prompts-1", "state_dict": dict(learner.state_dict())} | content, tmp_path / "file")
    with pytest.raises(ValueError, match="file is damaged: "):
        load_prompts(tmp_path / "file", "CoOp", learner, students["one"])


def test_a_safetensors_file_cut_at_any_length_is_named(students, tmp_path):
    write(tmp_path / "whole", students["one"])
    whole, learner = (tmp_path / "whole").read_bytes(), learner_of(students["one"], "CoOp")[0]
    (header,) = struct.unpack("<Q", whole[:8])
    for length in [*range(12), header // 2, header + 7, header + 8, header + 9, len(whole) - 1]:
        (tmp_path / "file").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="file is not a (checkpoint|prompt file), or is damaged"):
            load_prompts(tmp_path / "file", "CoOp", learner, students["one"])


@pytest.mark.parametrize("failing", ["os.replace", "kdpl.prompts.prompt_file.save"])
def test_a_failed_write_leaves_the_older_file_alone(failing, students, tmp_path, monkeypatch):
    path = tmp_path / "file"
    write(path, students["one"])
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr(failing, fail)
        write(path, students["one"])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    write(path, students["one"])
    assert path.read_bytes() != before


def test_a_checkpoint_carries_the_description_and_loads_with_weights_only(students, tmp_path):
    write(tmp_path / "file", students["one"], kind="checkpoint")
    write(tmp_path / "file.safetensors", students["one"])
    content = torch.load(tmp_path / "file", weights_only=True)
    with safe_open(tmp_path / "file.safetensors", "pt") as file:
        assert json.loads(content["description"]) == json.loads(file.metadata()[KEY])
    assert json.loads(content["description"])["student"]["fingerprint"] == students["one"].fingerprint
    assert content.keys() == {"format", "method", "epoch", "settings", "description", "state_dict"}
    assert read_checkpoint(tmp_path / "file").keys() == content.keys()
