"""Levels 0 and 1 of verification: correct CLIPs pass, and the cause of each broken tower is found and named."""

import copy
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from kdpl.__main__ import main
from kdpl.clip.loaded import LoadedCLIP
from kdpl.clip.loading import load_clip
from kdpl.golden import weights
from kdpl.import_guards import import_clip
from kdpl.verification import Report, published
from kdpl.verification.checks import FAIL, PASS, SKIPPED
from kdpl.verification.level0 import run_level_0
from kdpl.verification.level1 import run_level_1
from kdpl.verification.reference import IMAGENET_MEAN, IMAGENET_STD

from .loopback_server import LoopbackServer

CPU = torch.device("cpu")
NARROW = dict(kind="vit", width=128, layers=2, patch=8, resolution=32, embed=64, text_width=64, text_layers=2)
STRUCTURE = ("tensors", "towers", "pixels", "tokens")  # checks that random weights pass


@pytest.fixture(scope="module")
def float_file(tmp_path_factory) -> Path:
    """A narrow CLIP with random weights in OpenAI's layout, float32."""
    file = tmp_path_factory.mktemp("clip") / "random.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in weights.torch_state_dict(NARROW, 7).items()}, file)
    return file


@pytest.fixture(scope="module")
def torchscript_file(float_file) -> Path:
    """The same CLIP in the format of OpenAI's files: TorchScript in half precision."""
    file = float_file.with_name("random.pt")
    model = load_clip(str(float_file)).model
    tokens = import_clip().tokenize(["a dog"])
    torch.jit.save(torch.jit.trace(model, (torch.zeros(1, 3, 32, 32), tokens)).half(), str(file))
    return file


def level_1(file: Path, clip: LoadedCLIP | None = None) -> dict[str, tuple[str, str]]:
    """Status and message of each check."""
    report = Report("cpu")
    run_level_1(report, CPU, [str(file)], clips={str(file): clip} if clip else None)
    return {check.name.rpartition(": ")[2]: (check.status, check.message) for check in report.checks}


def copy_of(file: Path) -> LoadedCLIP:
    """A separate copy of a CLIP, to be broken."""
    clip = load_clip(str(file))
    return replace(clip, name="broken", model=copy.deepcopy(clip.model))


def wrong_activation(clip: LoadedCLIP) -> LoadedCLIP:
    for block in [*clip.model.transformer.resblocks, *clip.model.visual.transformer.resblocks]:
        block.mlp.gelu = nn.GELU()
    return clip


def transposed_projection(clip: LoadedCLIP) -> LoadedCLIP:
    clip.model.text_projection.data = clip.model.text_projection.data.T.contiguous()
    return clip


def rounded(clip: LoadedCLIP) -> LoadedCLIP:
    for parameter in clip.model.parameters():
        parameter.data = parameter.data.half().float()
    return clip


def swapped_channels(clip: LoadedCLIP) -> LoadedCLIP:
    clip.model.visual.conv1.weight.data = clip.model.visual.conv1.weight.data.flip(1)
    return clip


def wrong_pixel_statistics(clip: LoadedCLIP) -> LoadedCLIP:
    return replace(clip, preprocessing=replace(clip.preprocessing, mean=IMAGENET_MEAN, std=IMAGENET_STD))


def squashed_images(clip: LoadedCLIP) -> LoadedCLIP:
    return replace(clip, preprocessing=replace(clip.preprocessing, resize="squash"))


BREAKS = [
    (wrong_activation, "towers", "wrong activation: GELU instead of QuickGELU"),
    (transposed_projection, "towers", "transposed projection: text_projection"),
    (rounded, "towers", "half-precision rounding: weights were rounded to float16"),
    (swapped_channels, "tensors", "swapped channels"),
    (wrong_pixel_statistics, "pixels", "wrong pixel statistics: ImageNet's mean and standard deviation"),
    (squashed_images, "pixels", "squashed images"),
]


@pytest.mark.parametrize("break_it, check, cause", BREAKS, ids=[each[0].__name__ for each in BREAKS])
def test_level_1_finds_and_names_a_broken_tower_without_real_weights(float_file, break_it, check, cause):
    found = level_1(float_file, break_it(copy_of(float_file)))
    assert check in found and found[check][0] == FAIL and cause in found[check][1], found


@pytest.mark.parametrize("break_it, check, cause", BREAKS, ids=[each[0].__name__ for each in BREAKS])
def test_level_0_finds_and_names_it_where_this_installation_breaks_every_clip(break_it, check, cause):
    report = Report("cpu")
    only = ["VPT_KDPL"] * (break_it is wrong_activation)
    run_level_0(report, CPU, load=lambda file: break_it(copy_of(Path(file))), only=only)
    found = {each.name: each for each in report.checks}
    assert found[check].status == FAIL and cause in found[check].message
    assert all(found[f"{case}, fp32"].status == FAIL for case in only)
    assert report.verdict(0) == FAIL


@pytest.mark.parametrize("file", ["float_file", "torchscript_file"])
def test_random_weights_are_structurally_right_and_mean_nothing(request, file):
    found = level_1(request.getfixturevalue(file))
    assert {name: found[name][0] for name in STRUCTURE} == dict.fromkeys(STRUCTURE, PASS), found
    assert found["neighbours"][0] == FAIL and "its text features are not meaningful" in found["neighbours"][1]


def test_towers_of_another_library_are_not_compared(float_file):
    name = "open_clip:ViT-B-32-quickgelu/openai"
    report = Report("cpu")
    run_level_1(report, CPU, [name], clips={name: copy_of(float_file)})
    found = {check.name.removeprefix(f"{name}: "): check.status for check in report.checks}
    assert found == {"file": PASS, "towers": SKIPPED, "pixels": PASS, "neighbours": FAIL}  # random weights


def test_mistakes_in_the_file_itself_are_found_only_by_published_outputs_or_accuracies(float_file, tmp_path):
    """Weights trained with another activation, or rounded before they were saved, are what the file contains."""
    state = weights.torch_state_dict(NARROW, 7)
    file = tmp_path / "rounded.safetensors"
    save_file({name: t.half().float().contiguous() if t.is_floating_point() else t for name, t in state.items()}, file)
    found = level_1(file)
    assert {found[name][0] for name in STRUCTURE} == {PASS}


def test_the_command_checks_the_demo_pair_and_writes_a_report(tmp_path, capsys):
    assert main(["verify", "--level", "1", "--output", str(tmp_path / "v.json"), "--device", "cpu"]) == 0
    assert "level 1: pass" in capsys.readouterr().out
    report = json.loads((tmp_path / "v.json").read_text())
    assert (report["verdict"], report["levels"]) == (PASS, {"1": PASS})
    assert report["device"].startswith("cpu") and {"torch", "kdpl", "python"} <= report["versions"].keys()
    by_name = {check["name"]: check for check in report["checks"]}
    assert len(by_name["demo:student: file"]["facts"]["sha256"]) == 64
    assert by_name["demo:teacher: towers"]["differences"]["text"] < by_name["demo:teacher: towers"]["tolerance"]["text"]
    assert by_name["agreement"]["status"] == PASS


def test_level_0_passes_with_nothing_but_the_package(tmp_path, capsys):
    assert main(["verify", "--output", str(tmp_path / "v.json"), "--device", "cpu"]) == 0
    report = json.loads((tmp_path / "v.json").read_text())
    passed = {check["name"] for check in report["checks"] if check["status"] == PASS}
    cases = ("CoOp", "CoOp_KDPL", "CoCoOp_KDPL", "VPT_KDPL", "MaPLe_KDPL", "PromptSRC_KDPL")
    assert passed == {"tokens", "tensors", "towers", "pixels", *(f"{case}, fp32" for case in cases)}
    assert report["levels"] == {"0": PASS}


def test_a_failed_check_is_exit_code_1(tmp_path, float_file, capsys):
    arguments = ["verify", "--level", "1", "--models", str(float_file), "--output", str(tmp_path / "v.json")]
    assert main(arguments) == 1 and "level 1: fail" in capsys.readouterr().out
    html = (tmp_path / "v.html").read_text()
    assert (
        re.search(r"1 of \d checks failed\.", html)
        and "Failed checks" in html
        and "its text features are not meaningful" in html
    )


# Published outputs, with stand-ins for pictures and weights


@pytest.fixture
def stand_in(monkeypatch, tmp_path, float_file):
    """An output whose picture comes from a local server; the narrow CLIP takes the place of ViT-B/32."""
    Image.new("RGB", (40, 30), "orange").save(tmp_path / "served.png")
    content = (tmp_path / "served.png").read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with LoopbackServer({"/CLIP.png": content}) as server:
        picture = replace(
            published.OUTPUTS[0].picture, urls=(f"{server.url}/CLIP.png",), size=len(content),
            hash=f"sha256:{hashlib.sha256(content).hexdigest()}",
        )  # fmt: skip
        output = replace(published.OUTPUTS[0], picture=picture)
        monkeypatch.setattr("kdpl.verification.level1.OUTPUTS", (output,))
        monkeypatch.setattr("kdpl.verification.level1.MODEL", str(float_file))
        yield server


def outputs(file: Path, **how) -> dict[str, tuple[str, str]]:
    report = Report("cpu")
    run_level_1(report, CPU, [str(file)], **how)
    return {check.name.rpartition(": ")[2]: (check.status, check.message) for check in report.checks}


def test_a_picture_is_fetched_on_request_checked_by_hash_and_kept(stand_in, float_file):
    status, message = outputs(float_file)["CLIP.png"]
    assert status == SKIPPED and "--fetch" in message and stand_in.requests == [], message
    status, message = outputs(float_file, fetch=True)["CLIP.png"]
    assert status == FAIL and "published: 0.992794, 0.00421068, 0.00299572" in message  # random weights
    assert outputs(float_file)["CLIP.png"][0] == FAIL and len(stand_in.requests) == 1


def test_another_picture_of_the_same_name_is_refused(stand_in, float_file, tmp_path):
    Image.new("RGB", (40, 30), "blue").save(tmp_path / "CLIP.png")
    status, message = outputs(float_file, pictures=tmp_path)["CLIP.png"]
    assert status == FAIL and "is not the published picture" in message


def test_published_outputs_are_those_that_their_sources_print():
    clip_png, coco = published.OUTPUTS
    assert clip_png.values == (0.9927937, 0.00421068, 0.00299572) and sum(clip_png.values) == pytest.approx(1, abs=1e-6)
    assert coco.values == (24.5701, 19.3049)
