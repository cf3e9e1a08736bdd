"""Training the demo pair from scratch."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from kdpl.clip.demo_weights import load_demo_state_dict
from kdpl.clip.openai import clip_from_state_dict, tokenize
from tools.demo_captions import caption, is_true, random_pictures, trained_tokens, unrelated_text
from tools.pretrain_demo import PartlyTrainedEmbedding, contrastive_loss, pretrain_one

ROOT = Path(__file__).parents[1]


def test_the_same_seed_gives_the_same_files_and_they_load(tmp_path):
    sizes = ["--images", "40", "--batch", "8", "--steps", "2"]
    command = [sys.executable, "-m", "tools.pretrain_demo", "--output", str(tmp_path / "a"), *sizes]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    threads = torch.get_num_threads()
    for index, role in enumerate(("student", "teacher")):
        again = argparse.Namespace(output=tmp_path / "b", images=40, batch=8, steps=2, seed=1)
        pretrain_one(index, again)
        torch.set_num_threads(threads)
        first, second = (tmp_path / folder / f"{role}.safetensors" for folder in "ab")
        assert first.read_bytes() == second.read_bytes()
        model = clip_from_state_dict(load_demo_state_dict(first))
        assert model.encode_text(tokenize(["a poster of a red circle."])).shape == (1, 64)
        assert model.encode_image(torch.zeros(1, 3, 64, 64)).shape == (1, 64)
        assert f'{role}, "a photo of a ..."' in run.stdout
        assert role in run.stderr  # its progress bar


def test_captions_say_what_is_on_the_picture_and_claim_nothing_else():
    generator = np.random.default_rng(0)
    picture = np.array([4, 1, 0, 1, 2])  # a blue striped circle on a noisy poster
    texts = [caption(generator, picture, generic=0.0) for _ in range(200)]
    assert all("poster of" in text and text.endswith(" blue striped circle.") for text, _ in texts)
    for text, claim in texts:
        names_condition = "grainy" in text or "noisy" in text
        assert claim.tolist() == [4, 1, 0, 1, 2 if names_condition else -1]
    assert 60 < sum(claim[4] == 2 for _, claim in texts) < 140  # about half of them
    assert picture.tolist() == [4, 1, 0, 1, 2]


def test_generic_captions_say_photo_of_anything():
    text, claim = caption(np.random.default_rng(0), np.array([4, 1, 0, 1, 2]), generic=1.0)
    assert text == "a photo of a blue striped circle."
    assert claim.tolist() == [4, 1, 0, -1, -1]


def test_a_caption_is_true_of_every_picture_that_it_does_not_contradict():
    pictures = torch.tensor([[0, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 1, 0]])
    claims = torch.tensor([[0, 0, 0, 1, -1], [0, 0, 0, -1, -1], [1, 0, 0, 1, 0]])
    expected = [[True, True, False], [False, True, False], [False, False, True]]
    assert is_true(claims, pictures).tolist() == expected


def test_unrelated_texts_have_a_word_that_no_caption_has():
    generator = np.random.default_rng(0)
    known = set(trained_tokens())
    for _ in range(100):
        tokens = tokenize([unrelated_text(generator)])[0]
        assert set(tokens[tokens > 0].tolist()) - known


def test_captions_of_all_pictures_use_only_trained_words_except_for_odd_ones(monkeypatch):
    monkeypatch.setattr("tools.demo_captions.ODD_WORD", 0.0)
    generator = np.random.default_rng(0)
    texts = [caption(generator, picture, generic=0.2)[0] for picture in random_pictures(generator, 500)]
    tokens = tokenize(texts)
    assert set(tokens[tokens > 0].tolist()) == set(trained_tokens())


def test_contrastive_loss_of_a_case_worked_by_hand():
    # Two pictures, two captions, one unrelated text. Both captions are true of picture 0, the second one of picture 1.
    logits = torch.zeros(2, 3)
    true = torch.tensor([[True, True], [False, True]])
    # Uniform over 3 texts: each picture ln 3. Uniform over 2 pictures: each caption ln 2.
    assert contrastive_loss(logits, true).item() == pytest.approx((np.log(3) + np.log(2)) / 2)
    # Picture 1 sees its caption for certain: 0 instead of ln 3; the caption's own choice moves from picture 0 to 1,
    # of which both are right: it pays half of a large number.
    logits[1, 1] = 10.0
    of_pictures = (np.log(3) + np.log(1 + 2 * np.exp(-10))) / 2
    of_captions = (np.log(2) + (10 + 2 * np.log(1 + np.exp(-10))) / 2) / 2
    assert contrastive_loss(logits, true).item() == pytest.approx((of_pictures + of_captions) / 2, rel=1e-5)


def test_only_the_rows_of_trained_words_change():
    table = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    embedding = PartlyTrainedEmbedding(table, [2, 5])
    tokens = torch.tensor([[2, 3], [5, 2]])
    assert torch.equal(embedding(tokens), table[tokens])
    embedding(tokens).sum().backward()
    assert embedding.rows.grad.tolist() == [[2.0] * 4, [1.0] * 4]
    with torch.no_grad():
        embedding.rows += 1
    changed = (embedding.whole().weight != table).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [2, 5]
