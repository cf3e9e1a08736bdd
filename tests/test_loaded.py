"""A loaded CLIP is shared and never changed; its fingerprint depends on its numbers alone."""

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kdpl.clip.loading import load_clip
from kdpl.clip.openai import openai_clip
from kdpl.fingerprints import tensors_fingerprint
from tests.tiny_clip import images, loaded, tiny_clip, tokenize


def test_copies_are_made_once_per_precision_and_shared():
    clip = loaded()
    half = clip.on("cpu", "bf16")
    assert clip.on("cpu") is clip and clip.on("cpu", "bf16") is half is not clip
    assert half.on("cpu") is clip and half.on("cpu", "bf16") is half  # whichever of them is asked for it
    assert half.original is clip and half.fingerprint == clip.fingerprint
    assert clip.on("cpu", "fp16") is clip is clip.on("cpu", "amp")  # float16 on a CPU is computed in float32


def test_a_copy_leaves_the_original_as_it_was():
    clip = loaded()
    before = tensors_fingerprint(clip.model.state_dict())
    batch = images(2, clip.model)
    features, towers = clip.model.encode_image(batch), clip.towers
    half = clip.on("cpu", "bf16")
    assert half.model.visual.conv1.weight.dtype == torch.bfloat16
    assert half.towers.vision.patches is half.model.visual.conv1  # its towers are its own
    with torch.autocast("cpu", torch.bfloat16):
        rounded = half.model.encode_image(batch)
    torch.testing.assert_close(rounded.float(), features, rtol=0.1, atol=0.1 * features.abs().max().item())
    assert not torch.equal(rounded.float(), features)
    for parameter in half.model.parameters():
        parameter.data.zero_()
    assert tensors_fingerprint(clip.model.state_dict()) == before and clip.towers is towers
    assert torch.equal(clip.model.encode_image(batch), features)


def test_an_unknown_device_or_precision_is_refused():
    with pytest.raises(ValueError, match="'fp8'; choose from fp32"):
        loaded().on("cpu", "fp8")
    with pytest.raises(ValueError, match="gpu"):
        loaded().on("gpu")


def written(folder: Path, seed: int = 0) -> dict[str, Path]:
    """The same weights, all exact in float16, in three kinds of files."""
    model = tiny_clip(seed=seed)
    for tensor in model.state_dict().values():
        tensor.copy_(tensor.half())
    half = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    files = {kind: folder / f"{kind}, seed {seed}" for kind in ("torchscript", "safetensors", "state dict")}
    save_file(half, files["safetensors"])
    torch.save({name: tensor.float() for name, tensor in half.items()}, files["state dict"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and warns about fixed shapes
        program = torch.jit.trace(model, (images(1, model), tokenize(["a"])), check_trace=False)
        program.half().save(files["torchscript"])  # as OpenAI publishes them
    return files


def test_the_fingerprint_is_that_of_the_weights_in_every_kind_of_file(tmp_path):
    clips = {kind: load_clip(str(file)) for kind, file in written(tmp_path).items()}
    assert len({clip.weights_sha256 for clip in clips.values()}) == 3
    assert len({clip.fingerprint for clip in clips.values()}) == 1
    other = load_clip(str(written(tmp_path, seed=1)["safetensors"]))
    assert other.fingerprint != clips["safetensors"].fingerprint


def test_one_changed_number_is_another_fingerprint():
    changed = tiny_clip()
    changed.text_projection[3, 4] += 1e-6
    assert openai_clip(changed, "changed", "").fingerprint != openai_clip(tiny_clip(), "first", "").fingerprint


def test_names_and_sizes_count_in_a_fingerprint():
    tensors = {"a": torch.zeros(2, 3), "b": torch.ones(2)}
    prints = [
        tensors_fingerprint(tensors),
        tensors_fingerprint({"a": torch.zeros(3, 2), "b": torch.ones(2)}),
        tensors_fingerprint({"c": torch.zeros(2, 3), "b": torch.ones(2)}),
        tensors_fingerprint({"a": torch.zeros(2, 3), "b": torch.ones(2).half()}),
    ]
    assert len(set(prints)) == 4
    assert tensors_fingerprint(dict(reversed(tensors.items()))) == prints[0]
