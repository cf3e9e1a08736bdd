"""Features of many plain texts: batched, with progress, and kept on disk where there are thousands of them."""

import hashlib
import json
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from ..atomic_files import atomic_path
from ..downloads import cache_dir
from .loaded import LoadedCLIP
from .precision import Precision
from .templates import fill
from .text_encoder import TextEncoder
from .towers import normalise

BATCH = 1024  # texts
CACHED_FROM = 2000  # texts; fewer are computed faster than they are looked up


@torch.no_grad()
def mean_text_features(
    clip: LoadedCLIP,
    classnames: Sequence[str],
    templates: Sequence[str],
    precision: Precision,
    normalise_each: bool = False,
) -> Tensor:
    """Mean over the templates of a class's text features, (n_cls, embed_dim) float32, itself not normalised.

    Results for thousands of texts are cached by weights, templates, names and precision.

    Args:
        clip: on the device where it is to run.
        templates: sentences with ``{}`` for the name.
        normalise_each: whether each template's features are normalised before the mean, as zero-shot ensembles do.
    """
    device = clip.model.logit_scale.device
    n_texts = len(classnames) * len(templates)
    key = json.dumps([clip.weights_sha256, precision.name, normalise_each, list(templates), list(classnames)])
    file = cache_dir() / "text_features" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.pth"
    if n_texts >= CACHED_FROM and file.is_file():
        return torch.load(file, weights_only=True)["text_features"].to(device)

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
    mean = total / len(templates)

    if n_texts >= CACHED_FROM:
        with atomic_path(file) as temporary:
            torch.save({"text_features": mean.cpu()}, temporary)
    return mean


def text_function(clip: LoadedCLIP) -> Callable[[Tensor], Tensor]:
    """(n, context_length) token ids -> (n, embed_dim), not normalised."""
    tower = clip.towers.text
    return clip.towers.encode_text if tower is None else TextEncoder(tower).encode_tokens
