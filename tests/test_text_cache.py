"""Thousands of texts: their tokens and features are cached on disk, and only those needed are computed."""

import pytest
import torch

from kdpl.clip import text_feature_table, text_features
from kdpl.clip.precision import resolve_precision
from kdpl.clip.templates import ENSEMBLE_OF_60
from kdpl.clip.text_feature_table import TextFeatureTable
from kdpl.clip.text_features import mean_text_features, tokens_of
from kdpl.distillation.regularisers import SelfConsistency
from kdpl.prompts import CoOpPromptLearner
from kdpl.prompts.prompted_clip import PromptedCLIP
from tests.tiny_clip import CLASSNAMES, loaded

FP32 = resolve_precision("fp32", torch.device("cpu"))
TEMPLATES = ["a photo of a {}.", "a drawing of one {} on a wall.", "the {}."]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(text_features, "CACHED_FROM", 4)
    monkeypatch.setattr(text_features, "TOKENIZED_AGAIN", 2)


def only_file(folder):
    (file,) = [file for file in folder.rglob("*.pth") if not file.name.startswith(".")]
    return file


def damage(file, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "cut off":
        content = content[:100]
    elif how == "not a file of tensors":
        content = b"nothing"
    else:  # in the values of the tensor, which no archive checks
        start = content.find(b"data/0") + 200
        content[start] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("how", ["cut off", "not a file of tensors", "one bit"])
def test_a_damaged_file_of_features_is_computed_again(how, tmp_path, capsys):
    before = mean_text_features(loaded(), CLASSNAMES, TEMPLATES, FP32)
    file = only_file(tmp_path)
    damage(file, how)
    assert torch.equal(mean_text_features(loaded(), CLASSNAMES, TEMPLATES, FP32), before)
    assert f"{file} is damaged" in capsys.readouterr().out
    assert torch.equal(mean_text_features(loaded(), CLASSNAMES, TEMPLATES, FP32), before)
    assert "damaged" not in capsys.readouterr().out


def test_features_written_by_earlier_versions_are_read(tmp_path, capsys):
    mean_text_features(loaded(), CLASSNAMES, TEMPLATES, FP32)
    stored = torch.arange(160.0).reshape(5, 32)
    torch.save({"text_features": stored}, only_file(tmp_path))
    assert torch.equal(mean_text_features(loaded(), CLASSNAMES, TEMPLATES, FP32), stored)


def test_tokens_of_a_vocabulary_are_read_from_disk_unless_another_tokenizer_made_them(tmp_path, monkeypatch):
    tower, asked = loaded().towers.text, []
    tokenize = tower.tokenize
    object.__setattr__(tower, "tokenize", lambda texts: asked.append(len(texts)) or tokenize(texts))
    before = tokens_of(tower, CLASSNAMES)
    assert torch.equal(before, tokenize(CLASSNAMES)) and max(asked) == len(CLASSNAMES)
    asked.clear()
    assert torch.equal(tokens_of(tower, CLASSNAMES), before) and before.dtype == torch.int64
    assert max(asked) < len(CLASSNAMES)
    object.__setattr__(tower, "tokenize", lambda texts: tokenize(texts).roll(1))
    assert torch.equal(tokens_of(tower, CLASSNAMES), before.roll(1))


def test_only_names_that_are_asked_for_are_encoded_and_each_has_the_same_bits_whatever_came_before(monkeypatch):
    asked = []
    encode = TextFeatureTable._encode
    monkeypatch.setattr(TextFeatureTable, "_encode", lambda self, name: asked.append(name) or encode(self, name))
    table = TextFeatureTable(loaded(), CLASSNAMES, TEMPLATES, FP32)
    first = table[torch.tensor([3, 1])]
    assert asked == [CLASSNAMES[3], CLASSNAMES[1]]
    expected = mean_text_features(loaded(), CLASSNAMES, TEMPLATES, FP32)[[3, 1]]
    torch.testing.assert_close(first, torch.nn.functional.normalize(expected, dim=-1))
    asked.clear()
    again = TextFeatureTable(loaded(), CLASSNAMES, TEMPLATES, FP32)  # from the cache
    assert torch.equal(again[torch.tensor([1, 3])], first.flip(0)) and asked == []
    monkeypatch.setattr(text_feature_table, "read_cached", lambda *_: None)
    afresh = TextFeatureTable(loaded(), CLASSNAMES, TEMPLATES, FP32)
    assert torch.equal(afresh[torch.tensor([0, 1, 2, 3, 4])][[3, 1]], first)


def test_tables_of_two_processes_add_to_the_same_file():
    one, two = (TextFeatureTable(loaded(), CLASSNAMES, TEMPLATES, FP32) for _ in range(2))
    one[torch.tensor([0])], two[torch.tensor([4])]
    assert TextFeatureTable(loaded(), CLASSNAMES, TEMPLATES, FP32).known.tolist() == [True, False, False, False, True]


def test_class_agnostic_prompts_encode_the_templates_only_for_chosen_classes():
    clip = loaded()
    model = PromptedCLIP(clip, CoOpPromptLearner(clip), CLASSNAMES, device="cpu")
    image = torch.nn.functional.normalize(torch.randn(2, 32), dim=-1)
    chosen = torch.tensor([1, 2])
    losses = []
    for of_subsets in (False, True):
        regulariser = SelfConsistency(
            model.clip, CLASSNAMES, "", text_weight=25.0, image_weight=10.0, precision=FP32, of_subsets=of_subsets
        )
        losses.append(regulariser.terms(model.encode(None, chosen, image), chosen, image))
    assert isinstance(regulariser.frozen_text_features, TextFeatureTable)
    assert regulariser.frozen_text_features.known.tolist() == [False, True, True, False, False]
    assert len(ENSEMBLE_OF_60) * len(CLASSNAMES) > text_features.CACHED_FROM
    for name, value in losses[0].items():
        torch.testing.assert_close(losses[1][name], value, rtol=1e-4, atol=1e-6)
