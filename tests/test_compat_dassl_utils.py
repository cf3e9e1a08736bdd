"""Files, logs, checkpoints, meters and names."""

import io
import os
import random
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import compat  # noqa: F401

# isort: split
from dassl.utils import (
    AverageMeter,
    MetricMeter,
    Registry,
    check_isfile,
    collect_env_info,
    listdir_nohidden,
    load_checkpoint,
    load_pretrained_weights,
    read_image,
    read_json,
    save_checkpoint,
    set_random_seed,
    setup_logger,
    tolist_if_not,
    write_json,
)


class Dangerous:
    """Unpickling this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_checkpoint_with_code_is_refused_and_the_code_not_run(tmp_path):
    torch.save({"state_dict": {}, "epoch": 1, "scheduler": Dangerous(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="bad.pth.*contains more than tensors"):
        load_checkpoint(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_leaves_only_the_older_checkpoint(tmp_path):
    state = {"state_dict": {"module.w": torch.ones(2)}, "epoch": 3}
    save_checkpoint(state, tmp_path, model_name="latest")
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        save_checkpoint({**state, "extra": lambda: None}, tmp_path, model_name="latest")
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "latest"]
    assert load_checkpoint(tmp_path / "latest")["state_dict"]["w"].tolist() == [1, 1]  # "module." is gone
    assert "module.w" in state["state_dict"]


def test_a_best_checkpoint_is_kept_beside_the_latest(tmp_path):
    save_checkpoint({"state_dict": {}, "epoch": 7}, tmp_path, is_best=True)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "model-best.pth.tar", "model.pth.tar-7"]
    assert load_checkpoint(tmp_path / "model-best.pth.tar")["epoch"] == 7


def test_an_absent_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.pth"):
        load_checkpoint(tmp_path / "gone.pth")


def test_pretrained_weights_fill_what_fits(tmp_path, capsys):
    source = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5))
    torch.save({f"module.{key}": value for key, value in source.state_dict().items()}, tmp_path / "weights.pth")
    target = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
    load_pretrained_weights(target, tmp_path / "weights.pth")
    assert torch.equal(target[0].weight, source[0].weight)
    assert "['1.weight', '1.bias']" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="no weight in"):
        load_pretrained_weights(nn.Linear(9, 9), tmp_path / "weights.pth")


def test_the_log_copies_what_is_printed_and_keeps_an_older_log(tmp_path, monkeypatch):
    console = io.StringIO()
    monkeypatch.setattr(sys, "stdout", console)
    setup_logger(str(tmp_path))
    print("first")
    setup_logger(str(tmp_path))
    print("second")
    newer = [name for name in os.listdir(tmp_path) if name.startswith("log.txt-")]
    assert (tmp_path / "log.txt").read_text() == "first\n"
    assert len(newer) == 1 and (tmp_path / newer[0]).read_text() == "second\n"
    assert console.getvalue() == "first\nsecond\n"
    sys.stdout.close()
    print("third")  # the console stays open
    assert console.getvalue().endswith("third\n")


def test_a_log_may_be_a_file_or_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    before = sys.stdout
    setup_logger(None)
    assert sys.stdout is before
    setup_logger(str(tmp_path / "deep" / "run.log"))
    print("line")
    assert (tmp_path / "deep" / "run.log").read_text() == "line\n"


def test_seeds_reach_all_generators():
    draws = []
    for _ in range(2):
        set_random_seed(11)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_broken_and_absent_images_are_named(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for suffix in ("jpg", "png"):
        path = tmp_path / f"whole.{suffix}"
        image.save(path)
        assert read_image(path).size == (64, 64)
        (tmp_path / f"cut.{suffix}").write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ValueError, match=f"cut.{suffix}"):
            read_image(tmp_path / f"cut.{suffix}")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match="text.jpg"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(FileNotFoundError, match="gone.jpg"):
        read_image(tmp_path / "gone.jpg")


def test_grey_images_become_rgb(tmp_path):
    Image.new("L", (4, 4), 77).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").getpixel((0, 0)) == (77, 77, 77)


def test_json_round_trip_and_broken_json(tmp_path):
    write_json({"name": "Fromage à la crème", "n": [1, 2]}, tmp_path / "deep" / "a.json")
    assert read_json(tmp_path / "deep" / "a.json") == {"name": "Fromage à la crème", "n": [1, 2]}
    (tmp_path / "b.json").write_text('{"cut": ')
    with pytest.raises(ValueError, match="b.json is not valid JSON"):
        read_json(tmp_path / "b.json")


def test_folders_are_listed_without_hidden_names(tmp_path):
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).touch()
    assert listdir_nohidden(tmp_path, sort=True) == ["a", "b"]
    assert check_isfile(tmp_path / "a")
    with pytest.warns(UserWarning, match="c"):
        assert not check_isfile(tmp_path / "c")


def test_meters():
    meter = MetricMeter()
    meter.update({"loss": 1.0})
    meter.update({"loss": torch.tensor(2.0)})
    meter.update(None)
    assert str(meter) == "loss 2.0000 (1.5000)"
    with pytest.raises(TypeError, match="dictionary"):
        meter.update([1.0])
    average = AverageMeter()
    average.update(1.0, n=3)
    average.update(5.0)
    assert (average.val, average.avg) == (5.0, 2.0)


def test_a_registry_refuses_a_second_entry_of_a_name_and_lists_what_it_holds():
    registry = Registry("TRAINER")

    @registry.register()
    class CoOp:
        pass

    assert registry.get("CoOp") is CoOp and registry.registered_names() == ["CoOp"]
    with pytest.raises(KeyError, match="CoOp.*already"):
        registry.register(CoOp)
    registry.register(CoOp, force=True)
    with pytest.raises(KeyError, match=r"VPT.*\['CoOp'\]"):
        registry.get("VPT")


def test_env_info_names_the_versions():
    assert f"torch: {torch.__version__}" in collect_env_info()


def test_tolist_if_not():
    assert (tolist_if_not("a"), tolist_if_not(["a"])) == (["a"], ["a"])
