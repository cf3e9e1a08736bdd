"""The small files of the demo pair, and the pair that is committed."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from datasets import shapes
from kdpl.clip.demo_weights import N_TOKENS, load_demo_state_dict, save_demo_weights, untrained_words
from kdpl.clip.loading import DEMO_WEIGHTS, load_clip
from tests.tiny_clip import tiny_clip
from tools.pretrain_demo import accuracy_on_posters


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_saved_weights_are_loaded_in_half_precision_and_untrained_words_are_restored(kind, tmp_path):
    state_dict = tiny_clip(kind).state_dict()
    save_demo_weights(tmp_path / "tiny.safetensors", state_dict, [7, 320, 49407])
    loaded = load_demo_state_dict(tmp_path / "tiny.safetensors")
    assert loaded.keys() == state_dict.keys()
    table = loaded.pop("token_embedding.weight")
    for name, tensor in loaded.items():
        expected = state_dict[name].half().float() if tensor.is_floating_point() else state_dict[name]
        assert tensor.dtype == expected.dtype and torch.equal(tensor, expected), name
    trained = torch.zeros(N_TOKENS, dtype=torch.bool)
    trained[[7, 320, 49407]] = True
    assert torch.equal(table[trained], state_dict["token_embedding.weight"][trained].half().float())
    assert torch.equal(table[~trained], untrained_words(64)[~trained])


def test_untrained_words_never_change_and_differ_from_each_other():
    table = untrained_words(64)
    assert table.shape == (N_TOKENS, 64)
    assert table[0, :3].tolist() == [0.02484130859375, -0.007843017578125, 0.00962066650390625]
    assert len(table.unique(dim=0)) == N_TOKENS


def test_a_file_of_another_kind_is_refused_with_what_to_do(tmp_path):
    save_file({"logit_scale": torch.zeros(())}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no token_embedding.rows and no token_embedding.token_ids.*git checkout"):
        load_demo_state_dict(tmp_path / "other.safetensors")


def test_the_committed_files_take_less_than_four_megabytes():
    assert sum(path.stat().st_size for path in DEMO_WEIGHTS.values()) < 4_000_000


def test_the_committed_files_hold_half_precision_and_few_words():
    for path in DEMO_WEIGHTS.values():
        tensors = load_file(path)
        assert {tensor.dtype for tensor in tensors.values()} <= {torch.float16, torch.int32, torch.int64}
        assert len(tensors["token_embedding.token_ids"]) < 100


def test_the_committed_pair_is_a_vit_and_a_resnet_of_one_resolution():
    student, teacher = (load_clip(name) for name in ("demo:student", "demo:teacher"))
    assert len(student.model.visual.transformer.resblocks) >= 3  # deep prompts need blocks to enter
    assert len(student.model.transformer.resblocks) >= 3
    assert hasattr(teacher.model.visual, "attnpool")
    assert student.preprocessing.size == teacher.preprocessing.size == 64


def test_on_posters_of_new_classes_the_teacher_sees_much_more_and_the_right_word_helps_the_student_much():
    student, teacher = (load_clip(name).model for name in ("demo:student", "demo:teacher"))
    zero_shot = accuracy_on_posters(student, "a photo of a", per_class=10, seed=1)
    assert accuracy_on_posters(teacher, "a photo of a", per_class=10, seed=1) > zero_shot + 30
    assert accuracy_on_posters(student, "a poster of a", per_class=10, seed=1) > zero_shot + 20
    assert zero_shot > 5 * 100 / (len(shapes.class_words()) // 2)  # far above chance: not a broken CLIP
