"""Features of many plain texts: batched, with a progress bar, and cached on disk if there are thousands."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from ..names import weights_identity
from .cached_tensors import cached_tensor
from .loaded import LoadedCLIP
from .precision import Precision
from .templates import fill
from .text_encoder import TextEncoder
from .towers import TextTower, normalise

BATCH = 1024  # texts
CACHED_FROM = 2000  # texts; computing fewer is faster than a cache lookup
TOKENIZED_AGAIN = 100  # texts, to check that a cached file belongs to this tokenizer


@torch.no_grad()
def mean_text_features(
    clip: LoadedCLIP,
    classnames: Sequence[str],
    templates: Sequence[str],
    precision: Precision,
    normalise_each: bool = False,
) -> Tensor:
    """Text features averaged over templates, (n_cls, embed_dim), float32; the mean is not normalised.

    Results for thousands of texts are cached on disk by weights, templates, names and precision.

    Args:
        clip: already on the target device.
        templates: texts with ``{}`` for the class name.
        normalise_each: normalise each template's features before averaging, as in zero-shot ensembles.
    """
    n_texts = len(classnames) * len(templates)

    def compute() -> Tensor:
        return _mean_text_features(clip, classnames, templates, precision, normalise_each)

    if n_texts < CACHED_FROM:
        return compute()
    key = [
        weights_identity(clip.name, clip.weights_sha256),
        precision.name,
        normalise_each,
        list(templates),
        list(classnames),
    ]
    mean = cached_tensor("text_features", key, compute, lambda mean: mean.dim() == 2 and len(mean) == len(classnames))
    return mean.to(clip.model.logit_scale.device)


def _mean_text_features(
    clip: LoadedCLIP, classnames: Sequence[str], templates: Sequence[str], precision: Precision, normalise_each: bool
) -> Tensor:
    device, n_texts = clip.model.logit_scale.device, len(classnames) * len(templates)
    encode = text_function(clip)
    total = 0.0
    with tqdm(total=n_texts, desc=f"Text features of {clip.name}", unit="text", disable=n_texts < CACHED_FROM) as bar:
        for template in templates:
            features = []
            for start in range(0, len(classnames), BATCH):
                tokens = clip.tokenize(fill(template, classnames[start : start + BATCH]))
                with precision.autocast():
                    features.append(encode(tokens.to(device)).float())
                bar.update(len(tokens))
            features = torch.cat(features)
            total = total + (normalise(features) if normalise_each else features)
    return total / len(templates)


def tokens_of(tower: TextTower, texts: Sequence[str]) -> Tensor:
    """Token ids (n, context_length), int64, cached on disk for thousands of texts.

    Raises:
        ValueError: if a text is too long.
    """
    if len(texts) < CACHED_FROM:
        return tower.tokenize(list(texts))
    sample = slice(None, None, len(texts) // TOKENIZED_AGAIN)
    expected = tower.tokenize(list(texts)[sample])
    tokens = cached_tensor(
        "tokens",
        [list(texts), expected[:8].tolist()],  # one file per tokenizer
        lambda: tower.tokenize(list(texts)).int(),
        lambda tokens: len(tokens) == len(texts) and torch.equal(tokens[sample].long(), expected),
    )
    return tokens.long()


def text_function(clip: LoadedCLIP) -> Callable[[Tensor], Tensor]:
    """(n, context_length) token ids -> (n, embed_dim), not normalised."""
    tower = clip.towers.text
    return clip.towers.encode_text if tower is None else TextEncoder(tower).encode_tokens
