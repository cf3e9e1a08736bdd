"""A process loads each CLIP once, all its users share it, and none of them changes it."""

import gc
import shutil
import weakref

import PIL.Image
import pytest
import torch

import kdpl
from kdpl.clip import loading
from kdpl.clip.loading import load_clip
from kdpl.fingerprints import tensors_fingerprint
from tests.tiny_clip import tiny_clip


@pytest.fixture
def tiny_file(tmp_path):
    path = tmp_path / "tiny.pt"
    torch.save(tiny_clip().state_dict(), path)
    return str(path)


def test_a_clip_in_use_is_shared_with_everybody_who_asks_for_the_same_weights(tiny_file):
    first = load_clip(tiny_file)
    assert load_clip(tiny_file) is first
    changed = {name: tensor + 1 for name, tensor in first.model.state_dict().items()}
    torch.save(changed, tiny_file)
    assert load_clip(tiny_file) is not first


def test_a_process_loads_a_clip_once_even_if_nobody_holds_it(tiny_file):
    alive = weakref.ref(load_clip(tiny_file).model)
    gc.collect()
    assert alive() is not None and load_clip(tiny_file).model is alive()


def test_clips_asked_for_longest_ago_leave_memory(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_kept", [])
    files = [str(shutil.copy(tiny_file, tmp_path / f"{i}.pt")) for i in range(3)]
    alive = [weakref.ref(load_clip(file)) for file in files[:2]]
    size = alive[0]().n_bytes
    assert size == sum(tensor.nbytes for tensor in tiny_clip().state_dict().values())
    load_clip(files[0])
    monkeypatch.setattr(loading, "machine_memory", lambda: 2.5 * size / loading.KEPT_SHARE)
    load_clip(files[2])
    gc.collect()
    assert [clip() is not None for clip in alive] == [True, False]
    monkeypatch.setattr(loading, "KEPT", 1)
    load_clip(files[1])
    assert len(loading._kept) == 1


def test_a_clip_that_was_changed_in_place_is_loaded_again(tiny_file):
    changes = (
        lambda model: model.text_projection.zero_(),
        lambda model: model.requires_grad_(True),
        lambda model: model.train(),
        lambda model: model.half(),
    )
    for change in changes:
        shared = load_clip(tiny_file)
        change(shared.model)
        again = load_clip(tiny_file)
        assert again is not shared and again is load_clip(tiny_file)
        assert torch.equal(again.model.text_projection, tiny_clip().text_projection) and not again.is_changed


def test_a_clip_loaded_in_inference_mode_can_be_trained_with(tiny_file):
    with torch.inference_mode():
        clips = load_clip(tiny_file), load_clip(tiny_file).on("cpu", "bf16")
    assert not any(clip.model.text_projection.is_inference() for clip in clips)


def test_nothing_of_a_training_stays_in_the_clips_that_the_next_one_shares():
    clips = [load_clip(name) for name in ("demo:student", "demo:teacher")]
    before = [tensors_fingerprint(clip.model.state_dict()) for clip in clips]
    images = [PIL.Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue", "black")]
    common = {"student": "demo:student", "teacher": "demo:teacher", "device": "cpu", "progress": False}

    def learned(method):
        found = kdpl.distill(images, ["red circle", "blue square"], method=method, epochs=1, batch_size=2, **common)
        return tensors_fingerprint(found.model.prompt_learner.state_dict())

    first = learned("CoOp")
    assert len({first, *map(learned, ("MaPLe", "PromptSRC", "VPT"))}) == 4
    assert learned("CoOp") == first
    assert [tensors_fingerprint(clip.model.state_dict()) for clip in clips] == before
    assert [load_clip(clip.name) for clip in clips] == clips
