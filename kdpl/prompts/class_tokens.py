"""The tokens of every class's prompt, and the position of the learned vectors among them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..clip.prompt_lengths import length_buckets, ranges_of_like_length
from ..clip.text_features import tokens_of
from ..clip.towers import TextTower

POSITIONS = ("end", "middle", "front")
MOST_BUCKETS = 6  # length buckets for subsets of the classes
CLASSES_PER_BUCKET = 64  # minimum, on average over all classes: smaller groups are not worth their kernel launches


class ClassTokens(nn.Module):
    """Token ids of all classes' prompts, cut to the longest.

    A prompt consists of words, the class name (with spaces for underscores) and a full stop. Learned vectors replace
    the first ``n_ctx`` tokens after the start tokens. With ``position`` "middle", the name goes between the two halves
    of the context; with "front", before it. In all cases the feature is read where the ordinary prompt ends.
    """

    def __init__(
        self,
        classnames: Sequence[str],
        words: str,
        n_ctx: int,
        tower: TextTower,
        position: str = "end",
    ):
        super().__init__()
        names = [name.replace("_", " ") for name in classnames]
        tokens = tokens_of(tower, [f"{words} {name}." for name in names])
        ends = tower.read_positions(tokens)
        self.n_start = tower.n_start
        self.n_ctx = n_ctx
        self.position = position
        n_tokens = tower.n_tokens(tokens)
        lengths = sorted(n_tokens.tolist(), reverse=True)
        self.by_length = ranges_of_like_length(lengths)  # all classes, in the text encoder's format
        most_buckets = min(MOST_BUCKETS, 1 + len(lengths) // CLASSES_PER_BUCKET)
        self.bucket_lengths = length_buckets(lengths, tower.n_start + n_ctx, most_buckets)
        shorter = torch.tensor(self.bucket_lengths[1:], dtype=n_tokens.dtype)
        bucket = (n_tokens[:, None] <= shorter).sum(dim=1)
        self.register_buffer("bucket", bucket, persistent=False)  # (n_cls,), into bucket_lengths
        tokens = tokens[:, : max(lengths, default=0)]
        self.register_buffer("tokens", tokens, persistent=False)  # (n_cls, length)
        self.register_buffer("ends", ends, persistent=False)  # (n_cls,)
        if position != "end" and names:
            # Names are tokenised after the words, because some tokenizers treat the beginning of a text differently.
            before = tower.end_of_text(tower.tokenize([words]))
            name_lengths = tower.end_of_text(tower.tokenize([f"{words} {name}" for name in names])) - before
            length = tokens.shape[1] - tower.n_start
            order = torch.stack([_order(position, n_ctx, int(n), length) for n in name_lengths])
            self.register_buffer("order", order, persistent=False)  # (n_cls, length)

    def __len__(self) -> int:
        return len(self.tokens)

    def count_by_bucket(self, class_indices: Tensor) -> Tensor:
        """Number of the classes (k,) in each length bucket, (n_buckets,), on the same device."""
        buckets = torch.arange(len(self.bucket_lengths), device=class_indices.device)
        return (self.bucket[class_indices, None] == buckets).sum(dim=0)  # torch.bincount would synchronise with the GPU

    def subset_by_length(self, class_counts: Tensor) -> list[tuple[int, int]]:
        """A subset of the classes in the text encoder's format, each class padded to its bucket.

        Args:
            class_counts: from :meth:`count_by_bucket`, or an object with ``tolist``; reading it waits for a GPU.
        """
        counted = zip(self.bucket_lengths, class_counts.tolist(), strict=True)
        return [(length, n_classes) for length, n_classes in counted if n_classes]

    def assemble(
        self,
        ctx: Tensor | None,
        embed: Callable[[Tensor], Tensor],
        class_indices: Tensor | None = None,
        class_specific: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embedded prompts for the text encoder.

        Args:
            ctx: (groups, n_ctx, width), or (n_cls, n_ctx, width) if class-specific; None for prompts without learned
                vectors.
            embed: token ids -> embeddings.
            class_indices: (k,), a subset; all classes by default.

        Returns:
            prefix (groups, n_prefix, width), suffix (k, n_suffix, width) and ends (k,), for the text encoder.
        """
        tokens, ends = self.tokens, self.ends
        if class_indices is not None:
            tokens, ends = tokens[class_indices], ends[class_indices]
        start = embed(tokens[:1, : self.n_start])  # (1, n_start, width)
        rest = embed(tokens[:, self.n_start + self.n_ctx :])  # (k, length - n_start - n_ctx, width)
        if ctx is None:
            return start, rest, ends
        if self.position == "end" and not class_specific:
            return torch.cat([start.expand(len(ctx), -1, -1), ctx], dim=1), rest, ends
        if class_specific:
            ctx = ctx if class_indices is None else ctx[class_indices]
        suffix = torch.cat([ctx.expand(len(tokens), -1, -1), rest], dim=1)
        if self.position != "end":
            order = self.order if class_indices is None else self.order[class_indices]
            suffix = suffix.gather(1, order[..., None].expand_as(suffix))
        return start, suffix, ends


def _order(position: str, n_ctx: int, name_length: int, length: int) -> Tensor:
    """Indices (length,) that reorder context + name + rest for this position of the name."""
    before = n_ctx // 2 if position == "middle" else 0
    ctx, name = list(range(n_ctx)), list(range(n_ctx, n_ctx + name_length))
    return torch.tensor(ctx[:before] + name + ctx[before:] + list(range(n_ctx + name_length, length)))
