"""Initial values of learned tensors, drawn from a separate generator for each learner."""

import torch
from torch import nn

from ..clip.loaded import LoadedCLIP
from ..clip.towers import TextTower
from ..random_streams import stream_seed


def initial_values(seed: int) -> torch.Generator:
    """The generator for a prompt learner's initial values."""
    return torch.Generator().manual_seed(stream_seed("initial prompts", seed))


def initial_context(
    clip: LoadedCLIP, n_ctx: int, ctx_init: str, generator: torch.Generator
) -> tuple[nn.Parameter, str]:
    """Initial context vectors (n_ctx, text width), and the words that they replace.

    With ``ctx_init`` they are the embeddings of its first ``n_ctx`` tokens; otherwise they are drawn from
    normal(0, 0.02) and replace "X X ...".

    Raises:
        ValueError: if the CLIP takes no text prompts, or its tokenizer does not give one token per X.
    """
    tower = text_tower(clip)
    if not ctx_init:
        words = " ".join(["X"] * n_ctx)
        if tower.n_words(words) != n_ctx:
            raise ValueError(
                f"The tokenizer of {clip.name} does not give one token per word for {words!r}: set CTX_INIT."
            )
        return random_prompts(n_ctx, tower.width, generator), words
    start = tower.n_start
    tokens = tower.tokenize([ctx_init])[0, start : start + n_ctx].to(tower.positions.device)
    return nn.Parameter(tower.embedding(tokens).detach().float()), ctx_init


def context_length(clip: LoadedCLIP, ctx_init: str, n_ctx: int) -> int:
    """Number of context vectors: the tokens of ``ctx_init`` (on OpenAI's CLIPs, its words), or ``n_ctx`` if empty."""
    return text_tower(clip).n_words(ctx_init) if ctx_init else n_ctx


def text_tower(clip: LoadedCLIP) -> TextTower:
    """The text tower, described for prompts.

    Raises:
        ValueError: if it takes no prompts.
    """
    if clip.towers.text is None:
        raise ValueError(f"{clip.name} takes no prompts, so it can only be a teacher. Choose a CLIP such as ViT-B/32.")
    return clip.towers.text


def words_of(ctx_init: str) -> list[str]:
    """The words of a context; underscores count as spaces."""
    return ctx_init.replace("_", " ").split(" ") if ctx_init else []


def random_prompts(n: int, width: int, generator: torch.Generator) -> nn.Parameter:
    """(n, width) vectors from normal(0, 0.02)."""
    return nn.Parameter(torch.empty(n, width).normal_(std=0.02, generator=generator))


def prompt_list(n_deep: int, n: int, width: int, generator: torch.Generator) -> nn.ParameterList:
    """Learned prompts for blocks 1 .. n_deep, (n, width) each, from normal(0, 0.02)."""
    return nn.ParameterList([random_prompts(n, width, generator) for _ in range(n_deep)])


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with torch's default initialisation, uniform within 1 / sqrt(n_in)."""
    layer, bound = nn.utils.skip_init(nn.Linear, n_in, n_out), n_in**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
