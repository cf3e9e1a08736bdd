"""Attention with a shared prefix equals torch's own, and so do its gradients."""

import pytest
import torch
from torch import Tensor

from kdpl.clip import prefix_attention
from kdpl.clip.prefix_attention import attend_after_prefix

GROUPS, CLASSES, HEADS, TOKENS, PREFIX, HEAD_DIM = 2, 3, 2, 4, 5, 8


def inputs(n_groups: int, n_queries: int = TOKENS) -> tuple[Tensor, ...]:
    """Queries, keys, values and prefix."""
    torch.manual_seed(1)
    q, k, v = (torch.randn(n_groups, CLASSES, HEADS, n, HEAD_DIM).double() for n in (n_queries, TOKENS, TOKENS))
    return q, k, v, torch.randn(2, GROUPS, HEADS, PREFIX, HEAD_DIM).double()


def with_least(n: int, monkeypatch: pytest.MonkeyPatch, *arguments: Tensor) -> Tensor:
    monkeypatch.setattr(prefix_attention, "LEAST_PRODUCTS", n)
    return attend_after_prefix(*arguments)


@pytest.mark.parametrize("n_groups", [GROUPS, 1])
@pytest.mark.parametrize("learned", [(0, 1, 2, 3), (3,), (0,)])
def test_own_products_have_the_values_and_gradients_of_torchs_attention(n_groups, learned, monkeypatch):
    tensors = inputs(n_groups)
    for i in learned:
        tensors[i].requires_grad_()
    mask = torch.ones(TOKENS, PREFIX + TOKENS, dtype=torch.bool).tril(PREFIX)
    ours = with_least(1, monkeypatch, *tensors, mask)
    theirs = with_least(10**9, monkeypatch, *tensors, mask)
    assert type(ours.grad_fn).__name__ != type(theirs.grad_fn).__name__  # two computations
    assert ours.shape == (GROUPS, CLASSES, HEADS, TOKENS, HEAD_DIM)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    wanted = [tensors[i] for i in learned]
    for a, b in zip(*(torch.autograd.grad((x * weights).sum(), wanted) for x in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b)


def test_what_a_class_does_not_see_does_not_count(monkeypatch):
    q, k, v, prefix = inputs(GROUPS)
    mask = torch.ones(TOKENS, PREFIX + TOKENS, dtype=torch.bool).tril(PREFIX)
    before = with_least(1, monkeypatch, q, k, v, prefix, mask)
    k[..., -1, :], v[..., -1, :] = 100.0, 100.0
    after = with_least(1, monkeypatch, q, k, v, prefix, mask)
    assert torch.equal(before[..., :-1, :], after[..., :-1, :]) and not torch.equal(before, after)


def test_a_single_query_of_each_class_has_a_mask_of_its_own():
    q, k, v, prefix = inputs(GROUPS, n_queries=1)
    ends = torch.tensor([3, 0, 2])
    mask = torch.ones(TOKENS, PREFIX + TOKENS, dtype=torch.bool).tril(PREFIX)[ends][:, None, None]
    attended = attend_after_prefix(q, k, v, prefix, mask)
    for i, end in enumerate(ends):
        seen_k, seen_v = (
            torch.cat([shared, own[:, i, :, : end + 1]], dim=2) for shared, own in zip(prefix, (k, v), strict=True)
        )
        expected = (q[:, i] @ seen_k.mT / HEAD_DIM**0.5).softmax(-1) @ seen_v
        torch.testing.assert_close(attended[:, i], expected)
