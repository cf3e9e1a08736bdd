"""Attention of texts that share the beginning of their prompts."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

LEAST_PRODUCTS = 128  # number of matrix products from which on the faster ones make up for the larger number of calls


def attend_after_prefix(q: Tensor, k: Tensor, v: Tensor, prefix: Tensor, mask: Tensor) -> Tensor:
    """Attention of each class's tokens to the prefix of the group and to tokens of the class.

    >>> q, k, v = torch.randn(3, 2, 5, 8, 6, 64).unbind()  # 2 groups, 5 classes, 8 heads, 6 tokens, 64 per head
    >>> prefix, mask = torch.randn(2, 2, 8, 4, 64), torch.ones(6, 10, dtype=torch.bool).tril(diagonal=4)
    >>> attend_after_prefix(q, k, v, prefix, mask).shape
    torch.Size([2, 5, 8, 6, 64])

    Args:
        q: (groups, n_cls, heads, n_queries, head_dim); the first dimension of q, k and v may be 1 if groups share them.
        k, v: (groups, n_cls, heads, n_tokens, head_dim).
        prefix: keys and values of the prefixes, (2, groups, heads, n_prefix, head_dim).
        mask: whether a query sees a token of the prefix, which must always be the case, or of its class: (n_queries,
            n_prefix + n_tokens), or (n_cls, 1, n_queries, n_prefix + n_tokens).

    Returns:
        (groups, n_cls, heads, n_queries, head_dim)
    """
    n_groups, n_heads, n_prefix, head_dim = prefix.shape[1:]
    n_cls, n_queries = q.shape[1], q.shape[3]
    if len(q) < n_groups:
        q, k, v = (x.expand(n_groups, *x.shape[1:]) for x in (q, k, v))
    if _is_plain(q) and mask.dim() == 2 and n_groups * n_cls * n_heads >= LEAST_PRODUCTS:
        # Copied so that both a group and a class are matrices.
        q, k, v = (x.transpose(1, 2).reshape(-1, x.shape[3], head_dim) for x in (q, k, v))
        own = mask[:, n_prefix:]
        hidden = torch.zeros(own.shape, dtype=q.dtype).masked_fill_(~own, float("-inf"))
        attended = _Attention.apply(q, k, v, *prefix.flatten(1, 2), hidden)
        return attended.view(n_groups, n_heads, n_cls, n_queries, head_dim).transpose(1, 2)
    keys_values = prefix[:, :, None].expand(-1, -1, n_cls, -1, -1, -1)  # (2, groups, n_cls, heads, n_prefix, head_dim)
    k, v = (torch.cat([shared, own], dim=-2).flatten(0, 1) for shared, own in zip(keys_values, (k, v), strict=True))
    if mask.dim() == 4 and n_groups > 1:
        mask = mask.repeat(n_groups, 1, 1, 1)
    return F.scaled_dot_product_attention(q.flatten(0, 1), k, v, attn_mask=mask).unflatten(0, (n_groups, n_cls))


def _is_plain(x: Tensor) -> bool:
    """Whether an eager CPU computes without autocast; elsewhere torch's own attention is better or needed."""
    compiling = hasattr(torch.compiler, "is_compiling") and torch.compiler.is_compiling()  # torch 2.1 lacks it
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and not compiling


class _Attention(torch.autograd.Function):
    """Two to four times faster on a CPU than ``scaled_dot_product_attention`` for the few tokens of a class name.

    A prefix is one matrix product per group and head instead of one per class, and is not copied for each class. The
    softmax runs over the first dimension, because torch computes rows shorter than a vector register value by value.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, prefix_k: Tensor, prefix_v: Tensor, hidden: Tensor
    ) -> Tensor:
        """
        Args:
            q, k, v: (n, n_tokens, head_dim), where n counts classes within heads within groups.
            prefix_k, prefix_v: (groups * heads, n_prefix, head_dim).
            hidden: (n_tokens, n_tokens), -inf where a token is not seen, otherwise 0.
        """
        n_prefix, scale = prefix_k.shape[1], q.shape[-1] ** -0.5
        to_own = torch.baddbmm(hidden, q, k.mT, alpha=scale)
        to_prefix = torch.bmm(_like(prefix_k, q), prefix_k.mT).mul_(scale)
        weights = _stacked(to_prefix, to_own).softmax(dim=0)
        attended = torch.bmm(_rows(weights[:n_prefix], prefix_v), prefix_v)
        ctx.save_for_backward(q, k, v, prefix_k, prefix_v, weights)
        return attended.view_as(q).baddbmm_(_rows(weights[n_prefix:], v), v)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, prefix_k, prefix_v, weights = ctx.saved_tensors
        n_prefix, needed, gradient = prefix_k.shape[1], ctx.needs_input_grad, gradient.contiguous()
        of_group = _like(prefix_v, gradient)
        of_weights = _stacked(torch.bmm(of_group, prefix_v.mT), torch.bmm(gradient, v.mT))
        of_scores = torch._softmax_backward_data(of_weights, weights, 0, weights.dtype).mul_(q.shape[-1] ** -0.5)
        (w_prefix, w_own), (s_prefix, s_own) = (x.split([n_prefix, len(x) - n_prefix]) for x in (weights, of_scores))
        of_q = of_k = of_v = None
        if needed[0]:
            of_q = torch.bmm(_rows(s_prefix, prefix_k), prefix_k).view_as(q).baddbmm_(_rows(s_own, k), k)
        if needed[1]:
            of_k = torch.bmm(_rows(s_own, k).mT, q)
        if needed[2]:
            of_v = torch.bmm(_rows(w_own, v).mT, gradient)
        of_prefix_k = torch.bmm(_rows(s_prefix, prefix_k).mT, _like(prefix_k, q)) if needed[3] else None
        of_prefix_v = torch.bmm(_rows(w_prefix, prefix_v).mT, of_group) if needed[4] else None
        return of_q, of_k, of_v, of_prefix_k, of_prefix_v, None


def _like(prefix: Tensor, x: Tensor) -> Tensor:
    """(n, n_tokens, head_dim) -> (groups * heads, classes * n_tokens, head_dim)."""
    return x.view(len(prefix), -1, x.shape[-1])


def _stacked(to_prefix: Tensor, to_own: Tensor) -> Tensor:
    """Scores of all queries, with the keys along the first dimension: (n_prefix + n_tokens, n * n_tokens)."""
    return torch.cat([scores.flatten(0, 1).t() for scores in (to_prefix, to_own)])


def _rows(weights: Tensor, keys: Tensor) -> Tensor:
    """(n_keys, n * n_queries) -> one matrix (queries, n_keys) for each of ``keys``."""
    return weights.unflatten(1, (len(keys), -1)).permute(1, 2, 0)
