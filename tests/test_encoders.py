"""The towers give the numbers of CLIP's own forward pass and of the plain 77-token computation."""

from itertools import combinations

import pytest
import torch
from torch import Tensor

from kdpl.clip import text_encoder as text_encoder_module
from kdpl.clip.image_encoder import ImageEncoder
from kdpl.clip.openai import openai_towers
from kdpl.clip.prompt_lengths import length_buckets, ranges_of_like_length
from kdpl.clip.text_encoder import TextEncoder
from kdpl.clip.towers import Towers
from tests.tiny_clip import CLASSNAMES, CLIP, images, tiny_clip, tokenize


def towers(model: CLIP) -> Towers:
    return openai_towers(model, tokenize)


def text_encoder(model: CLIP, max_tokens: int | None = None) -> TextEncoder:
    return TextEncoder(towers(model).text, max_tokens)


def plain_text_features(model: CLIP, embedded: Tensor, eot: Tensor, deep: list[Tensor] = ()) -> Tensor:
    """The computation as papers describe it: all 77 positions, block after block of the untouched CLIP."""
    x = (embedded + model.positional_embedding).permute(1, 0, 2)  # (77, n, width)
    for i, block in enumerate(model.transformer.resblocks):
        if 0 < i <= len(deep):
            n_ctx = len(deep[i - 1])
            x = torch.cat([x[:1], deep[i - 1][:, None].expand(-1, x.shape[1], -1), x[1 + n_ctx :]])
        x = block(x)
    x = model.ln_final(x.permute(1, 0, 2))
    return x[torch.arange(len(x)), eot] @ model.text_projection


def prompts(n_groups: int = 1) -> tuple[CLIP, Tensor, Tensor, Tensor, Tensor]:
    """A model; the embedded prompts, 77 long, with 4 vectors of each group in place of the words; where they end."""
    model = tiny_clip()
    tokens = tokenize([f"a photo of a {name}." for name in CLASSNAMES])
    embedded = model.token_embedding(tokens)  # (n_cls, 77, width)
    ctx = torch.randn(n_groups, 4, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    full = embedded.expand(n_groups, -1, -1, -1).clone()
    full[:, :, 1:5] = ctx[:, None]
    return model, tokens, full, ctx, tokens.argmax(-1)


def split(model: CLIP, tokens: Tensor, ctx: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Prefix, suffix cut after the longest prompt, and the ends, as the text encoder takes them."""
    eot = tokens.argmax(-1)
    embedded = model.token_embedding(tokens[:, : eot.max() + 1])
    prefix = torch.cat([embedded[:1, :1].expand(len(ctx), -1, -1), ctx], dim=1)
    return prefix, embedded[:, 5:], eot


@pytest.mark.parametrize("max_tokens", [None, 10, 25])
@pytest.mark.parametrize("n_groups", [1, 3])
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("by_length", [False, True])
def test_text_features_and_gradients_equal_the_plain_computation(max_tokens, n_groups, depth, by_length):
    model, tokens, full, ctx, eot = prompts(n_groups)
    deep = [torch.randn(4, 64).requires_grad_() for _ in range(depth)]
    expected = torch.stack([plain_text_features(model, full[g], eot, deep) for g in range(n_groups)])
    weights = torch.randn_like(expected)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [ctx, *deep])

    ranges = [(length, 1) for length in sorted((eot + 1).tolist(), reverse=True)] if by_length else None
    features = text_encoder(model, max_tokens)(*split(model, tokens, ctx), deep, ranges)

    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad((features * weights).sum(), [ctx, *deep])
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_chunks_are_recomputed_in_the_precision_of_the_forward_pass(monkeypatch):
    model, tokens, _, ctx, _ = prompts()
    types, project = [], text_encoder_module.project

    def noting(*args) -> tuple[Tensor, ...]:
        projected = project(*args)
        types.append(projected[0].dtype)
        return projected

    monkeypatch.setattr(text_encoder_module, "project", noting)
    with torch.autocast("cpu", torch.bfloat16):
        features = text_encoder(model, 10)(*split(model, tokens, ctx))
    n_forward = len(types)
    features.float().sum().backward()
    assert len(types) > n_forward and set(types) == {torch.bfloat16}


def test_chunks_do_not_break_the_graph_of_a_compiled_step():
    model, tokens, _, ctx, _ = prompts(1)
    encoder, inputs = text_encoder(model, 25), split(model, tokens, ctx)
    compiled = torch.compile(encoder, backend="aot_eager", fullgraph=True, dynamic=False)
    expected, found = (torch.autograd.grad(f(*inputs).square().sum(), ctx)[0] for f in (encoder, compiled))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_long_and_short_prompts_go_through_apart():
    assert ranges_of_like_length([24, 18, 18, 12, 12, 12, 12, 12] + 8 * [9]) == [(24, 1), (18, 3), (12, 12)]
    assert ranges_of_like_length([8, 8, 8, 8]) == [(8, 4)]
    assert ranges_of_like_length([8]) == [(8, 1)]
    assert ranges_of_like_length([]) == []


def test_lengths_are_put_into_the_buckets_with_the_fewest_tokens():
    lengths = [40, 20, 20, 12, 12, 9, 9, 9, 8, 8, 8, 8, 8, 7, 6]
    for most in (1, 2, 3, 4, 7, 20):
        found = length_buckets(lengths, 5, most)
        shortest_first = [sorted(set(lengths))[i] for i in range(7)]
        choices = [c for n in range(1, most + 1) for c in combinations(shortest_first, n) if 40 in c]
        tokens = [sum(min(b for b in c if b >= n) - 5 for n in lengths) for c in choices]
        assert sum(min(b for b in found if b >= n) - 5 for n in lengths) == min(tokens)
        assert len(found) <= most and found == sorted(found, reverse=True)


def test_ordinary_texts_have_the_features_of_clip():
    model = tiny_clip()
    for texts in (["a photo of a dog.", "a photo of a grand piano."], ["cat"], ["dog", "dog"], ["a cat", "two cats"]):
        tokens = tokenize(texts)
        torch.testing.assert_close(
            text_encoder(model).encode_tokens(tokens), model.encode_text(tokens), rtol=1e-5, atol=1e-5
        )


def test_the_longest_possible_text_is_not_cut():
    model = tiny_clip()
    tokens = tokenize(["word " * 75, "short"])
    torch.testing.assert_close(
        text_encoder(model).encode_tokens(tokens), model.encode_text(tokens), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_image_features_without_prompts_are_those_of_clip(kind):
    model = tiny_clip(kind)
    batch = images(3, model)
    torch.testing.assert_close(ImageEncoder(towers(model))(batch), model.encode_image(batch), rtol=1e-5, atol=1e-5)


def test_visual_prompts_are_appended_and_replaced_block_by_block():
    model, visual = tiny_clip(), torch.randn(2, 128)
    deep = [torch.randn(2, 128), torch.randn(2, 128)]
    batch, tower = images(3, model), model.visual

    x = tower.conv1(batch).flatten(2).transpose(1, 2)
    x = torch.cat([tower.class_embedding.expand(3, 1, -1), x], 1) + tower.positional_embedding
    x = tower.ln_pre(torch.cat([x, visual.expand(3, -1, -1)], 1)).permute(1, 0, 2)
    for i, block in enumerate(tower.transformer.resblocks):
        if i in (1, 2):
            x = torch.cat([x[:-2], deep[i - 1][:, None].expand(-1, 3, -1)])
        x = block(x)
    expected = tower.ln_post(x[0]) @ tower.proj

    torch.testing.assert_close(ImageEncoder(towers(model))(batch, visual, deep), expected, rtol=1e-5, atol=1e-5)


def test_a_resnet_refuses_visual_prompts():
    model = tiny_clip("resnet")
    with pytest.raises(ValueError, match="need a ViT"):
        ImageEncoder(towers(model))(images(1, model), torch.randn(2, 128))


def test_activations_of_many_classes_are_bounded_and_no_more_is_recomputed_than_has_to_be(monkeypatch):
    encoder, recomputed, recompute = text_encoder(tiny_clip(), max_tokens=64), [], text_encoder_module._recomputed
    monkeypatch.setattr(
        text_encoder_module, "_recomputed", lambda *args: recomputed.append(len(args[2])) or recompute(*args)
    )
    prefix, words = torch.randn(1, 5, 64, requires_grad=True), torch.randn(60, 8, 64)

    def kept(n: int) -> int:
        """Bytes that the backward pass of n classes of 8 tokens needs."""
        storages = {}

        def note(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            assert encoder(prefix, words[:n], torch.full((n,), 12)).shape == (1, n, 32)
        return sum(storages.values())

    whole = kept(8)
    assert recomputed == []  # this many are allowed at once
    kept(10)
    assert recomputed == [2, 2]  # three quarters are kept, the last one is for what is recomputed
    recomputed.clear()
    assert kept(60) < 1.05 * whole and recomputed == 27 * [2]
