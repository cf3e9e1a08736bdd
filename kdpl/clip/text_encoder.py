"""A text tower, run with learned prompts."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .device import total_memory
from .prefix_attention import attend_after_prefix
from .prompt_lengths import ranges_of_like_length, worthwhile_ranges
from .towers import TextTower, finish, project

SHARE_OF_MEMORY = 0.3  # fraction of device memory for activations of prompts
PARTS = 4  # of that memory, one part is for a chunk that is recomputed, the others for activations that are kept
TOKENS_ON_CPU = 4096  # per chunk without gradients: several times slower once activations exceed the CPU's cache


class TextEncoder(nn.Module):
    """A CLIP's text tower over embedded prompts, without redundant computation or padding.

    With causal attention, (1) tokens after end-of-text never affect a feature, so sequences are cut to the length of
    the prompts, and short and long prompts are encoded separately; (2) a shared prefix has the same keys and values in
    all prompts, so they are computed once per group and shared by its classes. If one pass would not fit in memory,
    classes are processed in chunks that are recomputed in the backward pass. Results equal those of the plain
    computation over the whole context length.
    """

    def __init__(self, tower: TextTower, max_tokens: int | None = None):
        """
        Args:
            tower: never modified.
            max_tokens: maximum number of tokens per pass; by default limited by the device's memory or, on a CPU
                without gradients, its cache.
        """
        super().__init__()
        self.tower = tower
        device = tower.positions.device
        # Queried once, here: a system call would break the graph of a compiled step.
        self.max_tokens = max_tokens or tokens_that_fit(tower, total_memory(device))
        self.max_tokens_without_gradients = max_tokens or (TOKENS_ON_CPU if device.type == "cpu" else self.max_tokens)

    def _tokens_at_once(self) -> int:
        return self.max_tokens if torch.is_grad_enabled() else self.max_tokens_without_gradients

    def embed(self, tokens: Tensor) -> Tensor:
        """Token ids of any shape -> (..., width), without positions."""
        return self.tower.embedding(tokens)

    def forward(
        self,
        prefix: Tensor,
        suffix: Tensor,
        ends: Tensor,
        deep_prompts: Sequence[Tensor] = (),
        by_length: Sequence[tuple[int, int]] | None = None,
    ) -> Tensor:
        """Text features of every class in every group.

        Args:
            prefix: (groups, n_prefix, width), the shared beginning of a group's prompts, including start tokens.
            suffix: (n_cls, n_suffix, width), the rest of each class's prompt.
            ends: (n_cls,), position in prefix + suffix at which each feature is read.
            deep_prompts: for blocks 1, 2, ...: (n_ctx, width), which replace the n_ctx tokens after the start tokens at
                the block's input.
            by_length: groups of classes to encode together, longest prompts first: pairs of a length in tokens,
                including prefix and end-of-text, and the number of classes that fit in it. On the host, to avoid
                synchronising with the device; see :func:`ranges_of_like_length`.

        Returns:
            (groups, n_cls, embed_dim), not normalised.
        """
        n_groups, n_prefix, n_suffix = *prefix.shape[:2], suffix.shape[1]
        prefix = prefix + self.tower.positions[:n_prefix]
        suffix = suffix + self.tower.positions[n_prefix : n_prefix + n_suffix]
        if not self.tower.can_cut:
            return self._whole_features(prefix, suffix, ends, deep_prompts)
        keys_values = self._prefix_keys_values(prefix, deep_prompts)
        ends = ends - n_prefix
        if by_length is None:
            return self._in_chunks(keys_values, suffix, ends, [(n_suffix, len(suffix))])
        order = ends.argsort(descending=True, stable=True)
        by_length = [(length - n_prefix, n) for length, n in worthwhile_ranges(by_length, self.tower.width, n_groups)]
        return self._in_chunks(keys_values, suffix[order], ends[order], by_length)[:, order.argsort()]

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Features of ordinary texts, (n, context_length) token ids -> (n, embed_dim), not normalised."""
        n_tokens, ends = self.tower.n_tokens(tokens), self.tower.read_positions(tokens)
        lengths = sorted(n_tokens.tolist(), reverse=True)
        tokens = tokens[:, : lengths[0]]
        n_prefix = _common_prefix(tokens, shortest=lengths[-1])
        embedded = self.embed(tokens)
        by_length = ranges_of_like_length(lengths)
        return self(embedded[:1, :n_prefix], embedded[:, n_prefix:], ends, by_length=by_length)[0]

    def _in_chunks(
        self,
        keys_values: Tensor,
        suffix: Tensor,
        ends: Tensor,
        by_length: Sequence[tuple[int, int]],
    ) -> Tensor:
        """:meth:`_suffix_features`, longest prompts first, if necessary in chunks.

        A chunk is recomputed in the backward pass unless there is memory to keep its activations.
        """
        n_groups, fits = keys_values.shape[2], self._tokens_at_once()
        chunk = fits
        if torch.is_grad_enabled() and n_groups * sum(length * n for length, n in by_length) > fits:
            chunk = fits // PARTS
            fits -= chunk
        features, first = [], 0
        for length, n_cls in by_length:
            n_prompts, rows = max(1, chunk // length), []
            group_step, class_step = max(1, n_prompts // n_cls), min(n_cls, n_prompts)
            for g in range(0, n_groups, group_step):
                group, columns = keys_values[:, :, g : g + group_step], []
                for c in range(first, first + n_cls, class_step):
                    stop = min(c + class_step, first + n_cls)
                    fits -= group.shape[2] * (stop - c) * length
                    compute = self._suffix_features if fits >= 0 else partial(_recomputed, self._suffix_features)
                    columns.append(compute(group, suffix[c:stop, :length], ends[c:stop]))
                rows.append(_joined(columns, dim=1))
            features.append(_joined(rows, dim=0))
            first += n_cls
        return _joined(features, dim=1)

    def _prefix_keys_values(self, x: Tensor, deep_prompts: Sequence[Tensor]) -> Tensor:
        """Keys and values of the prefix in each block, (blocks, 2, groups, heads, n_prefix, head_dim)."""
        keys_values = []
        blocks = self.tower.blocks
        for i, block in enumerate(blocks):
            if 0 < i <= len(deep_prompts):
                x = self._with_deep_prompts(x, deep_prompts[i - 1])
            q, k, v = project(block, x, "qkv")
            keys_values += [k, v]
            if i + 1 < len(blocks):
                x = finish(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return torch.stack(keys_values).unflatten(0, (-1, 2))

    def _with_deep_prompts(self, x: Tensor, deep: Tensor) -> Tensor:
        """Replace the tokens after the start tokens of x, (sequences, tokens, width)."""
        start, n_ctx = self.tower.n_start, deep.shape[0]
        return torch.cat([x[:, :start], deep.to(x.dtype).expand(len(x), -1, -1), x[:, start + n_ctx :]], dim=1)

    def _whole_features(self, prefix: Tensor, suffix: Tensor, ends: Tensor, deep_prompts: Sequence[Tensor]) -> Tensor:
        """Features of a tower whose sequences can neither be cut nor share a prefix."""
        n_groups, n_cls = len(prefix), len(suffix)
        x = torch.cat(
            [prefix[:, None].expand(-1, n_cls, -1, -1), suffix[None].expand(n_groups, -1, -1, -1)], dim=2
        ).flatten(0, 1)  # (groups * n_cls, context_length, width)
        step = max(1, self._tokens_at_once() // x.shape[1])
        ends = ends.repeat(n_groups)
        compute = self._whole_chunk if len(x) <= step else partial(_recomputed, self._whole_chunk)
        features = [compute(x[i : i + step], ends[i : i + step], *deep_prompts) for i in range(0, len(x), step)]
        return torch.cat(features).unflatten(0, (n_groups, n_cls))

    def _whole_chunk(self, x: Tensor, ends: Tensor, *deep_prompts: Tensor) -> Tensor:
        for i, block in enumerate(self.tower.blocks):
            if 0 < i <= len(deep_prompts):
                x = self._with_deep_prompts(x, deep_prompts[i - 1])
            q, k, v = project(block, x, "qkv")
            x = finish(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=self.tower.causal))
        x = x[torch.arange(len(x), device=x.device), ends]
        return self.tower.features(x)

    def _suffix_features(self, keys_values: Tensor, suffix: Tensor, ends: Tensor) -> Tensor:
        """(n_cls, n_suffix, width), positions added -> (groups, n_cls, embed_dim)."""
        n_cls, n_suffix = suffix.shape[:2]
        x = suffix[None]  # (1, n_cls, n_suffix, width), and one for each group after the first block
        n_prefix = keys_values.shape[4]
        visible = torch.ones(n_suffix, n_prefix + n_suffix, dtype=torch.bool, device=x.device).tril(n_prefix)

        *blocks, last = self.tower.blocks
        *prefixes, last_prefix = keys_values.unbind()
        for block, prefix in zip(blocks, prefixes, strict=True):
            x = finish(block, x, attend_after_prefix(*project(block, x, "qkv"), prefix, visible))

        # In the last block only the end-of-text token is needed.
        k, v = project(last, x, "kv")
        x = x[:, torch.arange(n_cls, device=x.device), ends][:, :, None]
        (q,) = project(last, x, "q")
        x = finish(last, x, attend_after_prefix(q, k, v, last_prefix, visible[ends][:, None, None]))
        return self.tower.features(x[:, :, 0])


def _common_prefix(tokens: Tensor, shortest: int) -> int:
    """Number of leading tokens that all texts share, excluding the last token of the shortest text."""
    differs = (tokens != tokens[:1]).any(dim=0)
    n_same = int(differs.int().argmax()) if bool(differs.any()) else tokens.shape[1]
    return min(n_same, shortest - 1)


def _recomputed(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs); instead of keeping activations, they are computed again in the backward pass."""
    before_torch_2_4 = not hasattr(torch, "get_autocast_dtype")
    if before_torch_2_4 or torch.compiler.is_compiling():
        return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return _Recomputed.apply(function, *inputs)


class _Recomputed(torch.autograd.Function):
    """A checkpoint that builds no graph beforehand.

    The graph of torch's own consists of small objects that stay between large ones that go, which leaves gaps too
    small for the next chunk: a CPU's memory would grow with the number of chunks.
    """

    @staticmethod
    def forward(ctx, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        device_type, ctx.function = inputs[0].device.type, function
        dtype, enabled = torch.get_autocast_dtype(device_type), torch.is_autocast_enabled(device_type)
        ctx.autocast = torch.autocast(device_type, dtype, enabled)
        ctx.save_for_backward(*inputs)
        return function(*inputs)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        inputs = [x.detach().requires_grad_(n) for x, n in zip(ctx.saved_tensors, needed, strict=True)]
        with torch.enable_grad(), ctx.autocast:
            features = ctx.function(*inputs)
        gradients = iter(torch.autograd.grad(features, [x for x in inputs if x.requires_grad], gradient))
        return None, *(next(gradients) if n else None for n in needed)


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def tokens_that_fit(tower: TextTower, memory: int) -> int:
    """Number of tokens whose activations for the backward pass fit into SHARE_OF_MEMORY of a device's bytes."""
    floats_per_block = 24 * tower.width  # a token keeps 13 to 20 widths; the rest is for temporaries
    return int(SHARE_OF_MEMORY * memory / (4 * floats_per_block * len(tower.blocks)))
