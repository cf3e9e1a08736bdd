"""What learned tensors start from; each draw comes from a generator of the learner's own."""

import torch
from torch import nn

from ..clip.loaded import LoadedCLIP
from ..random_streams import stream_seed


def initial_values(seed: int) -> torch.Generator:
    """The generator that a prompt learner draws its initial values from."""
    return torch.Generator().manual_seed(stream_seed("initial prompts", seed))


def initial_context(
    clip: LoadedCLIP, n_ctx: int, ctx_init: str, generator: torch.Generator
) -> tuple[nn.Parameter, str]:
    """Context vectors (n_ctx, text width) to start from, and the words that they stand in for.

    With ``ctx_init`` they are its first ``n_ctx`` token embeddings, else normal(0, 0.02) in place of "X X ...".
    """
    tower = clip.towers.text
    if not ctx_init:
        return random_prompts(n_ctx, tower.width, generator), " ".join(["X"] * n_ctx)
    start = tower.n_start
    tokens = tower.tokenize([ctx_init])[0, start : start + n_ctx].to(tower.positions.device)
    return nn.Parameter(tower.embedding(tokens).detach().float()), ctx_init


def words_of(ctx_init: str) -> list[str]:
    """The words of a context; an underscore counts as a space."""
    return ctx_init.replace("_", " ").split(" ") if ctx_init else []


def random_prompts(n: int, width: int, generator: torch.Generator) -> nn.Parameter:
    """(n, width) vectors from normal(0, 0.02)."""
    return nn.Parameter(torch.empty(n, width).normal_(std=0.02, generator=generator))


def prompt_list(n_deep: int, n: int, width: int, generator: torch.Generator) -> nn.ParameterList:
    """Learned prompts for blocks 1 .. n_deep, (n, width) each, from normal(0, 0.02)."""
    return nn.ParameterList([random_prompts(n, width, generator) for _ in range(n_deep)])


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with torch's usual initial values, uniform within 1 / sqrt(n_in)."""
    layer, bound = nn.utils.skip_init(nn.Linear, n_in, n_out), n_in**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
