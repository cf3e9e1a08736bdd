"""The initial values of learned tensors depend on the seed alone."""

import pytest
import torch
from torch import Tensor

from kdpl.clip.loaded import LoadedCLIP
from kdpl.methods import METHODS
from kdpl.prompts.initial import linear, random_prompts
from tests.tiny_clip import loaded


@pytest.fixture(scope="module")
def clip() -> LoadedCLIP:
    return loaded()


def learned(clip: LoadedCLIP, method: str, seed: int = 1, **settings) -> dict[str, Tensor]:
    entry = METHODS[method]
    return dict(entry.build_learner(clip, entry.complete(settings), n_cls=5, seed=seed).state_dict())


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("method", METHODS)
def test_initial_values_neither_read_nor_change_the_global_random_state(method, clip):
    torch.manual_seed(1)
    first, state = learned(clip, method, ctx_init=""), torch.get_rng_state()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert equal(learned(clip, method, ctx_init=""), first)
    assert torch.equal(torch.get_rng_state(), before) and not torch.equal(before, state)


@pytest.mark.parametrize("method", METHODS)
def test_all_random_initial_values_depend_on_the_seed_and_those_from_words_do_not(method, clip):
    one, two = (learned(clip, method, seed, ctx_init="") for seed in (1, 2))
    assert not any(torch.equal(one[name], two[name]) for name in one)
    one, two = (learned(clip, method, seed) for seed in (1, 2))
    assert {name for name in one if torch.equal(one[name], two[name])} == {"ctx"} & one.keys()


def test_class_specific_contexts_differ_among_classes_and_seeds(clip):
    one, two = (learned(clip, "CoOp", seed, ctx_init="", class_specific=True)["ctx"] for seed in (1, 2))
    assert one.shape == (5, 4, 64) and not torch.equal(one, two)
    assert len({tuple(ctx.flatten().tolist()) for ctx in one}) == 5


def test_the_distributions_are_those_of_the_published_code():
    vectors = random_prompts(200, 500, torch.Generator().manual_seed(0))
    assert vectors.mean().item() == pytest.approx(0, abs=3e-4)
    assert vectors.std().item() == pytest.approx(0.02, rel=0.01)
    layer = linear(400, 1000, torch.Generator().manual_seed(0))  # uniform within 1/20: deviation 1/20 / sqrt 3
    for parameter in layer.parameters():
        assert 0.049 < parameter.abs().max() <= 0.05 and parameter.requires_grad
        assert parameter.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.05)
