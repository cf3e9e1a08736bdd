"""The words of every class's prompt and the place of the learned vectors among them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..encoders import cut_to_longest

POSITIONS = ("end", "middle", "front")


class ClassTokens(nn.Module):
    """Token ids of all classes' prompts, cut to the longest.

    A prompt is words, the class name with spaces for underscores, then a full stop. Learned vectors take the place of
    the first ``n_ctx`` tokens after the start token. With ``position`` "middle" the name stands between the two halves
    of the context, with "front" before it; the feature is read where the ordinary prompt ends in all three cases.
    """

    def __init__(
        self,
        classnames: Sequence[str],
        words: str,
        n_ctx: int,
        tokenize: Callable[[list[str]], Tensor],
        position: str = "end",
    ):
        super().__init__()
        names = [name.replace("_", " ") for name in classnames]
        tokens, eot = cut_to_longest(tokenize([f"{words} {name}." for name in names]))
        self.n_ctx = n_ctx
        self.position = position
        self.lengths = sorted((eot + 1).tolist(), reverse=True)  # a subset's j-th longest prompt has at most lengths[j]
        self.register_buffer("tokens", tokens, persistent=False)  # (n_cls, length)
        self.register_buffer("eot", eot, persistent=False)  # (n_cls,)
        if position != "end":
            name_lengths = tokenize(names).argmax(dim=-1) - 1
            order = torch.stack([_order(position, n_ctx, int(n), tokens.shape[1] - 1) for n in name_lengths])
            self.register_buffer("order", order, persistent=False)  # (n_cls, length - 1)

    def __len__(self) -> int:
        return len(self.tokens)

    def assemble(
        self,
        ctx: Tensor | None,
        embed: Callable[[Tensor], Tensor],
        class_indices: Tensor | None = None,
        class_specific: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embedded prompts for the text encoder.

        Args:
            ctx: (groups, n_ctx, width); (n_cls, n_ctx, width) if class-specific; None for prompts of words alone.
            embed: token ids -> embeddings.
            class_indices: (k,), a subset; all classes by default.

        Returns:
            prefix (groups, n_prefix, width), suffix (k, n_suffix, width), eot (k,) as the encoder takes them.
        """
        tokens, eot = self.tokens, self.eot
        if class_indices is not None:
            tokens, eot = tokens[class_indices], eot[class_indices]
        start = embed(tokens[:1, :1])  # (1, 1, width)
        rest = embed(tokens[:, 1 + self.n_ctx :])  # (k, length - 1 - n_ctx, width)
        if ctx is None:
            return start, rest, eot
        if self.position == "end" and not class_specific:
            return torch.cat([start.expand(len(ctx), -1, -1), ctx], dim=1), rest, eot
        if class_specific:
            ctx = ctx if class_indices is None else ctx[class_indices]
        suffix = torch.cat([ctx.expand(len(tokens), -1, -1), rest], dim=1)
        if self.position != "end":
            order = self.order if class_indices is None else self.order[class_indices]
            suffix = suffix.gather(1, order[..., None].expand_as(suffix))
        return start, suffix, eot


def _order(position: str, n_ctx: int, name_length: int, length: int) -> Tensor:
    """Where to take each token after the start from, given context + name + rest, (length,)."""
    before = n_ctx // 2 if position == "middle" else 0
    ctx, name = list(range(n_ctx)), list(range(n_ctx, n_ctx + name_length))
    return torch.tensor(ctx[:before] + name + ctx[before:] + list(range(n_ctx + name_length, length)))
