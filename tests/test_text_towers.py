"""Text towers that OpenAI's CLIP does not have: no causal mask, features of the last position, no start token."""

from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdpl.clip.openai import openai_towers
from kdpl.clip.text_encoder import TextEncoder
from kdpl.clip.towers import TextTower
from kdpl.prompts.class_tokens import ClassTokens
from tests.tiny_clip import CLASSNAMES, tiny_clip, tokenize

LENGTH, N_CTX, END = 24, 3, 49407  # a short context keeps this quick; the end-of-text token of CLIP
WORDS = " ".join(["X"] * N_CTX)
KINDS = {
    "clip": {},
    "not causal": {"causal": False},
    "last position": {"reads_end": False},
    "not causal, last position": {"causal": False, "reads_end": False},
    "no start": {"n_start": 0},
    "no start, not causal": {"n_start": 0, "causal": False},
    "no start, last position": {"n_start": 0, "reads_end": False},
}


@cache
def tower(kind: str) -> TextTower:
    settings = dict(KINDS[kind])
    first = 1 - settings.get("n_start", 1)  # the column after the start token, for towers without one
    clip = openai_towers(tiny_clip(), lambda texts: tokenize(texts)[:, first : first + LENGTH]).text
    return replace(clip, positions=clip.positions[:LENGTH], **settings)


def plain_features(kind: str, embedded: Tensor, tokens: Tensor, deep: list[Tensor] = ()) -> Tensor:
    """Each sequence by itself, over the whole length, with torch's own attention and an explicit mask.

    Args:
        embedded: (n, LENGTH, width), without positions.
        tokens: (n, LENGTH), of which only the position of the end-of-text token is read.
    """
    clip, settings = tower(kind), KINDS[kind]
    mask = torch.full((LENGTH, LENGTH), float("-inf")).triu(1) if settings.get("causal", True) else None
    features = []
    for x, row in zip(embedded + clip.positions, tokens.tolist(), strict=True):
        for i, block in enumerate(clip.blocks):
            if 0 < i <= len(deep):
                n_start = settings.get("n_start", 1)
                x = torch.cat([x[:n_start], deep[i - 1], x[n_start + N_CTX :]])
            y, attn = block.ln_1(x), block.attn
            x = x + F.multi_head_attention_forward(
                y, y, y, 64, 1, attn.in_proj_weight, attn.in_proj_bias, None, None, False, 0.0,
                attn.out_proj.weight, attn.out_proj.bias, need_weights=False, attn_mask=mask,
            )[0]  # fmt: skip
            x = x + block.mlp(block.ln_2(x))
        read = row.index(END) if settings.get("reads_end", True) else LENGTH - 1
        features.append(clip.ln_final(x)[read] @ clip.projection)
    return torch.stack(features)


def plain_prompts(kind: str, ctx: Tensor, position: str = "end") -> tuple[Tensor, Tensor]:
    """Embedded prompts (n_cls, LENGTH, width) put together token by token, and their token ids."""
    clip, n_start = tower(kind), KINDS[kind].get("n_start", 1)
    rows, every_token = [], []
    for name in CLASSNAMES:
        words = name.replace("_", " ")
        tokens = clip.tokenize([f"{WORDS} {words}."])[0]
        embedded = clip.embedding(tokens)
        n_name = clip.tokenize([words])[0].tolist().index(END) - n_start
        start, rest = embedded[:n_start], embedded[n_start + N_CTX :]
        before = {"end": N_CTX, "middle": N_CTX // 2, "front": 0}[position]
        rows.append(torch.cat([start, ctx[:before], rest[:n_name], ctx[before:], rest[n_name:]]))
        every_token.append(tokens)
    return torch.stack(rows), torch.stack(every_token)


def random_vectors(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def assert_same(found: Tensor, expected: Tensor, learned: list[Tensor]) -> None:
    """Features and the gradients of one random sum of them."""
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = random_vectors(*expected.shape, seed=9).detach()
    ours, theirs = (torch.autograd.grad((features * weights).sum(), learned) for features in (found, expected))
    for a, b in zip(ours, theirs, strict=True):
        assert b.abs().max() > 1e-3
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("max_tokens", [None, 2 * LENGTH])
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_features_and_gradients_of_every_tower_equal_the_plain_computation(kind, depth, max_tokens):
    contexts, deep = random_vectors(2, N_CTX, 64), [random_vectors(N_CTX, 64, seed=2 + i) for i in range(depth)]
    expected = torch.stack([plain_features(kind, *plain_prompts(kind, ctx), deep) for ctx in contexts])
    class_tokens = ClassTokens(CLASSNAMES, WORDS, N_CTX, tower(kind))
    encoder = TextEncoder(tower(kind), max_tokens)
    assembled = class_tokens.assemble(contexts, encoder.embed)
    assert_same(encoder(*assembled, deep, class_tokens.by_length), expected, [contexts, *deep])


@pytest.mark.parametrize("position", ["middle", "front"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_class_name_is_where_it_should_be_in_every_tower(kind, position):
    ctx = random_vectors(N_CTX, 64)
    class_tokens, encoder = ClassTokens(CLASSNAMES, WORDS, N_CTX, tower(kind), position), TextEncoder(tower(kind))
    subset = torch.tensor([1, 4])
    expected = plain_features(kind, *(rows[subset] for rows in plain_prompts(kind, ctx, position)))
    assembled = class_tokens.assemble(ctx[None], encoder.embed, subset)
    by_length = class_tokens.subset_by_length(class_tokens.count_by_bucket(subset))
    assert_same(encoder(*assembled, (), by_length)[0], expected, [ctx])


@pytest.mark.parametrize("kind", KINDS)
def test_each_class_may_have_a_context_of_its_own_in_every_tower(kind):
    ctx = random_vectors(len(CLASSNAMES), N_CTX, 64)
    class_tokens, encoder = ClassTokens(CLASSNAMES, WORDS, N_CTX, tower(kind)), TextEncoder(tower(kind))
    prompts = [plain_prompts(kind, own) for own in ctx]
    embedded = torch.stack([rows[c] for c, (rows, _) in enumerate(prompts)])
    assembled = class_tokens.assemble(ctx, encoder.embed, class_specific=True)
    found = encoder(*assembled, (), class_tokens.by_length)[0]
    assert_same(found, plain_features(kind, embedded, prompts[0][1]), [ctx])


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_texts_of_every_tower_have_the_features_of_the_plain_computation(kind):
    encoder = TextEncoder(tower(kind))
    for texts in (["a photo of a dog.", "a photo of a grand piano."], ["cat"], ["dog", "dog"], ["word " * 22, "dog"]):
        tokens = tower(kind).tokenize(texts)
        expected = plain_features(kind, tower(kind).embedding(tokens), tokens)
        torch.testing.assert_close(encoder.encode_tokens(tokens), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].get("causal", True) is False])
def test_towers_without_a_causal_mask_see_what_comes_after_the_text(kind):
    tokens = tower(kind).tokenize(["dog", "cat"])
    changed = tokens.clone()
    changed[:, -2] = 100  # a token in the padding, neither the end of the text nor the last position
    before, after = (TextEncoder(tower(kind)).encode_tokens(ids) for ids in (tokens, changed))
    assert not torch.allclose(before, after, atol=1e-3)
