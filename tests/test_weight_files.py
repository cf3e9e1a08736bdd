"""Weight files of every common kind are read; anything else is refused without being executed."""

import pickle
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from kdpl.clip import converted_weights, weight_files
from kdpl.clip.weight_files import read_state_dict

TENSORS = {"weight": torch.tensor([[1.5, -2.0]]), "count": torch.tensor(3)}


def save_torchscript(tensors, path):
    module = nn.Module()
    for name, tensor in tensors.items():
        module.register_buffer(name, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch warns about such files, but OpenAI publishes them
        torch.jit.script(module).save(path)


SAVE = {
    "zip": torch.save,
    "legacy": lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    "torchscript": save_torchscript,
    "safetensors": safetensors.torch.save_file,
}


@pytest.mark.parametrize("kind", SAVE)
def test_the_kind_is_recognised_by_content_whatever_the_file_is_called(kind, tmp_path):
    SAVE[kind](TENSORS, tmp_path / "weights.pt")
    read = read_state_dict(tmp_path / "weights.pt")
    assert type(read) is dict and read.keys() == TENSORS.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())


@pytest.mark.parametrize("beginning", [b"\x80", b" <"], ids=["pickle", "page"])
def test_safetensors_whose_length_begins_like_another_kind_are_read(beginning, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", None)  # newer torch would read them
    length = int.from_bytes(beginning, "little") - 60  # of the name, so that the header has about this length
    for name in ("w" * (length + extra) for extra in range(0, 16, 4)):
        safetensors.torch.save_file({name: torch.zeros(2)}, tmp_path / "weights")
        if (tmp_path / "weights").read_bytes().startswith(beginning):
            break
    assert (tmp_path / "weights").read_bytes().startswith(beginning)
    assert torch.equal(read_state_dict(tmp_path / "weights")[name], torch.zeros(2))


@pytest.mark.parametrize("kind", SAVE)
@pytest.mark.parametrize("kept", [0, 8, 40, -30])
def test_a_file_that_was_cut_off_is_an_error_that_names_it(kind, kept, tmp_path):
    SAVE[kind](TENSORS, tmp_path / "weights.pt")
    (tmp_path / "weights.pt").write_bytes((tmp_path / "weights.pt").read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"weights\.pt"):
        read_state_dict(tmp_path / "weights.pt")


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_python_objects_are_refused_and_not_executed(save, tmp_path):
    save({"weight": torch.zeros(1), "payload": Touch(tmp_path / "executed")}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"weights\.pt is refused"):
        read_state_dict(tmp_path / "weights.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content, why",
    [
        (b"\n<!DOCTYPE html><html>Please log in</html>", "web page"),
        (b"just a few words", "not a weights file"),
        (b"12345678{ no header", "cannot be read"),  # the brace stands where that of safetensors does
    ],
)
def test_other_files_are_errors_that_say_what_was_expected(content, why, tmp_path):
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ValueError, match=why):
        read_state_dict(tmp_path / "weights.pt")


def test_a_state_dict_inside_a_training_checkpoint_is_named_by_its_key(tmp_path):
    torch.save({"epoch": 3, "state_dict": TENSORS}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"keys \['epoch', 'state_dict'\]"):
        read_state_dict(tmp_path / "weights.pt")


def test_a_missing_file_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="weights"):
        read_state_dict(tmp_path / "weights.pt")


@pytest.mark.parametrize("damage", [lambda content: content[:-5], lambda content: content[:-1] + b"\x7f"])
def test_torchscript_is_parsed_once_and_then_read_from_a_copy_unless_that_is_damaged(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(converted_weights, "CONVERTED_FROM", 0)
    parsed, parse = [], weight_files._read_torchscript
    monkeypatch.setattr(weight_files, "_read_torchscript", lambda path: parsed.append(path) or parse(path))
    tensors = TENSORS | {"in_half": torch.tensor([0.5, 3.0, -1.0]).half()}
    save_torchscript(tensors, tmp_path / "weights.pt")

    def check_read(n_parsed: int) -> None:
        read = read_state_dict(tmp_path / "weights.pt")
        assert read.keys() == tensors.keys() and len(parsed) == n_parsed
        for name, tensor in tensors.items():
            assert torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype

    check_read(n_parsed=1)
    check_read(n_parsed=1)
    (copy,) = (tmp_path / "cache").rglob("*.safetensors")
    copy.write_bytes(damage(copy.read_bytes()))
    check_read(n_parsed=2)
    check_read(n_parsed=2)


def test_a_file_that_cannot_be_copied_is_still_read(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(converted_weights, "CONVERTED_FROM", 0)
    save_torchscript(TENSORS, tmp_path / "weights.pt")
    assert read_state_dict(tmp_path / "weights.pt").keys() == TENSORS.keys()
