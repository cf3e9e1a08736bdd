"""Text and image towers of an untouched OpenAI CLIP, run with learned prompts."""

import os
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

SHARE_OF_MEMORY = 0.3  # of the device, for the activations of one chunk of prompts
TOKENS_ON_CPU = 4096  # of one chunk without gradients: what leaves the processor's cache is several times slower


class TextEncoder(nn.Module):
    """CLIP's text tower over embedded prompts; nothing is computed twice and nothing for padding.

    Attention is causal, so (1) whatever stands after end-of-text never changes a feature and sequences can be
    as short as the prompts, long and short ones going through apart, and (2) tokens that open many prompts alike have
    the same keys and values in all of them, which are therefore computed once a group and shared by its classes. Where
    one pass would not fit in memory, classes go through in chunks that are recomputed in the backward pass. The numbers
    are those of the plain computation over 77 tokens.
    """

    def __init__(self, clip: nn.Module, max_tokens: int | None = None):
        """
        Args:
            clip: OpenAI CLIP; used, not changed.
            max_tokens: tokens that go through the tower at once; by default as many as the device's memory allows, or,
                on a CPU without gradients, its cache.
        """
        super().__init__()
        self.clip = clip
        self.max_tokens = max_tokens

    @property
    def width(self) -> int:
        return self.clip.token_embedding.embedding_dim

    def embed(self, tokens: Tensor) -> Tensor:
        """Token ids of any shape -> (..., width), without positions."""
        return self.clip.token_embedding(tokens)

    def forward(
        self,
        prefix: Tensor,
        suffix: Tensor,
        eot: Tensor,
        deep_prompts: Sequence[Tensor] = (),
        lengths: Sequence[int] | None = None,
    ) -> Tensor:
        """Features of every class in every group.

        Args:
            prefix: (groups, n_prefix, width), what the prompts of a group start with, the start token first.
            suffix: (n_cls, n_suffix, width), what follows in each class.
            eot: (n_cls,), position of the end-of-text token in prefix + suffix.
            deep_prompts: of blocks 1, 2, ...: (n_ctx, width), put in place of tokens 1 .. n_ctx at the block's entry.
            lengths: in descending order and known to the host, so that nobody waits for the device: ``lengths[j]``
                tokens are enough for the j-th longest of these prompts, prefix and end-of-text included.

        Returns:
            (groups, n_cls, embed_dim), as they leave the tower: not normalised.
        """
        n_prefix, n_suffix = prefix.shape[1], suffix.shape[1]
        position = self.clip.positional_embedding
        prefix = prefix + position[:n_prefix]
        suffix = suffix + position[n_prefix : n_prefix + n_suffix]
        keys_values = self._prefix_keys_values(prefix, deep_prompts)
        eot = eot - n_prefix
        if lengths is None:
            return self._in_chunks(keys_values, suffix, eot)
        order = eot.argsort(descending=True, stable=True)
        suffix, eot = suffix[order], eot[order]
        features = [
            self._in_chunks(keys_values, suffix[start:stop, : lengths[start] - n_prefix], eot[start:stop])
            for start, stop in _classes_of_like_length(lengths, len(suffix))
        ]
        return torch.cat(features, dim=1)[:, order.argsort()]

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Features of ordinary texts, (n, context_length) token ids -> (n, embed_dim), not normalised."""
        tokens, eot = cut_to_longest(tokens)
        n_prefix = _common_prefix(tokens)
        embedded = self.embed(tokens)
        lengths = sorted((eot + 1).tolist(), reverse=True)
        return self(embedded[:1, :n_prefix], embedded[:, n_prefix:], eot, lengths=lengths)[0]

    def _in_chunks(self, keys_values: list[tuple[Tensor, Tensor]], suffix: Tensor, eot: Tensor) -> Tensor:
        """:meth:`_suffix_features`, in parts that are recomputed in the backward pass if memory does not hold all."""
        n_groups, n_cls, n_suffix = len(keys_values[0][0]), *suffix.shape[:2]
        max_prompts = max(1, (self.max_tokens or _tokens_at_once(self.clip, suffix.device)) // n_suffix)
        if n_groups * n_cls <= max_prompts:
            return self._suffix_features(keys_values, suffix, eot)
        group_step, class_step = max(1, max_prompts // n_cls), min(n_cls, max_prompts)
        rows = []
        for g in range(0, n_groups, group_step):
            group = [(k[g : g + group_step], v[g : g + group_step]) for k, v in keys_values]
            features = [
                checkpoint(self._suffix_features, group, suffix[c : c + class_step], eot[c : c + class_step],
                           use_reentrant=False, preserve_rng_state=False)
                for c in range(0, n_cls, class_step)
            ]  # fmt: skip
            rows.append(torch.cat(features, dim=1))
        return torch.cat(rows)

    def _prefix_keys_values(self, x: Tensor, deep_prompts: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (groups, heads, n_prefix, head_dim) that the prefix shows to later tokens, block by block."""
        keys_values = []
        blocks = self.clip.transformer.resblocks
        for i, block in enumerate(blocks):
            if 0 < i <= len(deep_prompts):
                deep = deep_prompts[i - 1].to(x.dtype).expand(x.shape[0], -1, -1)
                x = torch.cat([x[:, :1], deep, x[:, 1 + deep.shape[1] :]], dim=1)
            q, k, v = _project(block, x, "qkv")
            keys_values.append((k, v))
            if i + 1 < len(blocks):
                x = _finish(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return keys_values

    def _suffix_features(self, keys_values: list[tuple[Tensor, Tensor]], suffix: Tensor, eot: Tensor) -> Tensor:
        """(n_cls, n_suffix, width), positions added -> (groups, n_cls, embed_dim)."""
        n_groups, n_prefix = keys_values[0][0].shape[0], keys_values[0][0].shape[2]
        n_cls, n_suffix = suffix.shape[:2]
        x = suffix.expand(n_groups, -1, -1, -1).flatten(0, 1)  # (groups * n_cls, n_suffix, width)
        eot = eot.repeat(n_groups)
        index = torch.arange(n_suffix, device=x.device)
        sees_prefix = torch.ones(n_suffix, n_prefix, dtype=torch.bool, device=x.device)
        visible = torch.cat([sees_prefix, index <= index[:, None]], dim=1)  # (n_suffix, n_prefix + n_suffix)

        blocks = self.clip.transformer.resblocks
        for block, (prefix_k, prefix_v) in zip(blocks[:-1], keys_values[:-1], strict=True):
            q, k, v = _project(block, x, "qkv")
            k, v = _after_prefix(prefix_k, k, n_cls), _after_prefix(prefix_v, v, n_cls)
            x = _finish(block, x, F.scaled_dot_product_attention(q, k, v, attn_mask=visible))

        # Of the last block only the end-of-text token is read.
        rows = torch.arange(x.shape[0], device=x.device)
        k, v = _project(blocks[-1], x, "kv")
        k, v = _after_prefix(keys_values[-1][0], k, n_cls), _after_prefix(keys_values[-1][1], v, n_cls)
        x = x[rows, eot][:, None]
        (q,) = _project(blocks[-1], x, "q")
        x = _finish(blocks[-1], x, F.scaled_dot_product_attention(q, k, v, attn_mask=visible[eot][:, None, None]))
        features = self.clip.ln_final(x[:, 0]) @ self.clip.text_projection
        return features.unflatten(0, (n_groups, n_cls))


class ImageEncoder(nn.Module):
    """CLIP's image tower; a ViT may be given visual prompts."""

    def __init__(self, clip: nn.Module):
        super().__init__()
        self.clip = clip

    def forward(self, image: Tensor, visual: Tensor | None = None, deep_visual: Sequence[Tensor] = ()) -> Tensor:
        """
        Args:
            image: (batch, 3, resolution, resolution), normalised.
            visual: (n_vis, width), appended after the patches.
            deep_visual: of blocks 1, 2, ...: (n_vis, width), put in place of the appended tokens at the block's entry.

        Returns:
            (batch, embed_dim), as they leave the tower: not normalised.

        Raises:
            ValueError: if there are visual prompts and the tower is a ResNet.
        """
        tower = self.clip.visual
        if not is_vit(self.clip):
            if visual is not None:
                raise ValueError("Visual prompts need a ViT; this CLIP's image tower is a ResNet.")
            return tower(image)
        x = tower.conv1(image).flatten(2).transpose(1, 2)  # (batch, patches, width)
        x = torch.cat([tower.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], dim=1) + tower.positional_embedding
        if visual is not None:
            x = torch.cat([x, visual.to(x.dtype).expand(len(x), -1, -1)], dim=1)
        x = tower.ln_pre(x)
        blocks = tower.transformer.resblocks
        for i, block in enumerate(blocks):
            if 0 < i <= len(deep_visual):
                deep = deep_visual[i - 1].to(x.dtype).expand(len(x), -1, -1)
                x = torch.cat([x[:, : -deep.shape[1]], deep], dim=1)
            if i + 1 < len(blocks):
                q, k, v = _project(block, x, "qkv")
            else:  # of the last block only the class token is read
                k, v = _project(block, x, "kv")
                x = x[:, :1]
                (q,) = _project(block, x, "q")
            x = _finish(block, x, F.scaled_dot_product_attention(q, k, v))
        return tower.ln_post(x[:, 0]) @ tower.proj


def is_vit(clip: nn.Module) -> bool:
    """Whether the image tower is a Vision Transformer; else it is CLIP's ResNet."""
    return hasattr(clip.visual, "transformer")


def normalise(features: Tensor) -> Tensor:
    """Float32 vectors of length 1 along the last dimension."""
    return F.normalize(features.float(), dim=-1)


def cut_to_longest(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(n, context_length) zero-padded token ids -> ids up to the longest text, and where each text ends, (n,).

    The end-of-text token has the highest id of CLIP's vocabulary.
    """
    eot = tokens.argmax(dim=-1)
    return tokens[:, : int(eot.max()) + 1], eot


def _classes_of_like_length(lengths: Sequence[int], n_cls: int) -> list[tuple[int, int]]:
    """Ranges of classes, longest first, that go through the tower together: few, as each costs kernel launches."""
    starts = [0]
    for start in (n_cls // 16, n_cls // 4):
        if lengths[start] < lengths[starts[-1]]:
            starts.append(start)
    return list(zip(starts, [*starts[1:], n_cls], strict=True))


def _common_prefix(tokens: Tensor) -> int:
    """How many tokens all texts start with; the last one of the shortest text is never counted."""
    differs = (tokens != tokens[:1]).any(dim=0)
    n_same = int(differs.int().argmax()) if bool(differs.any()) else tokens.shape[1]
    return min(n_same, int(tokens.argmax(dim=-1).min()))


def _project(block: nn.Module, x: Tensor, which: str) -> tuple[Tensor, ...]:
    """Queries, keys, values of a block's attention: "qkv", "kv" or "q", each (..., heads, tokens, head_dim)."""
    attn, width = block.attn, x.shape[-1]
    start = "qkv".index(which) * width
    stop = start + len(which) * width
    projected = F.linear(block.ln_1(x), attn.in_proj_weight[start:stop], attn.in_proj_bias[start:stop])
    return tuple(part.unflatten(-1, (attn.num_heads, -1)).transpose(-3, -2) for part in projected.chunk(len(which), -1))


def _finish(block: nn.Module, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a residual block, given the heads' output (..., heads, tokens, head_dim)."""
    x = x + block.attn.out_proj(attended.transpose(-3, -2).flatten(-2))
    return x + block.mlp(block.ln_2(x))


def _after_prefix(prefix: Tensor, own: Tensor, n_cls: int) -> Tensor:
    """A group's prefix keys (groups, heads, p, .) before those of its classes (groups * n_cls, heads, s, .)."""
    shared = prefix[:, None].expand(-1, n_cls, -1, -1, -1).flatten(0, 1)
    return torch.cat([shared, own], dim=2)


def _tokens_at_once(clip: nn.Module, device: torch.device) -> int:
    """Tokens whose activations, kept for the backward pass, fit in the share of the device's memory set aside.

    A CPU that keeps none of them is faster with fewer.
    """
    if device.type == "cpu" and not torch.is_grad_enabled():
        return TOKENS_ON_CPU
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    else:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    floats_per_block = 24 * clip.token_embedding.embedding_dim  # a token keeps 13 to 20 widths, rest for temporaries
    return int(SHARE_OF_MEMORY * total / (4 * floats_per_block * len(clip.transformer.resblocks)))
