"""Interpreting learned prompts: the words nearest to each vector, and how far each class's text feature has moved."""

import importlib
import math
from typing import NamedTuple

import torch

from .classifier import Classifier
from .clip import openai
from .clip.templates import GENERIC, check_template
from .clip.zero_shot import ZeroShotClassifier
from .import_guards import import_clip


class NearWord(NamedTuple):
    """A vocabulary token close to a learned vector."""

    word: str  # without the tokenizer's end-of-word mark </w>
    distance: float  # Euclidean distance to its embedding


class Movement(NamedTuple):
    """Distance of a class's text feature from that of its hand-written prompt."""

    classname: str
    cosine: float
    degrees: float


@torch.no_grad()
def nearest_words(classifier: Classifier, n: int = 5, class_index: int = 0) -> list[list[NearWord]]:
    """The ``n`` vocabulary words nearest to each context vector, nearest first; empty if no text is learned (VPT).

    Only the vectors of the first block share a space with word embeddings, so deeper and visual prompts are left out.

    >>> import kdpl
    >>> from kdpl.images.transforms import evaluation_transform
    >>> clip = kdpl.load_clip("demo:student")
    >>> model = kdpl.PromptedCLIP(clip, kdpl.CoOpPromptLearner(clip), ["red circle", "blue square"], device="cpu")
    >>> classifier = kdpl.Classifier(model, {}, evaluation_transform(clip.preprocessing))
    >>> [words[0].word for words in nearest_words(classifier)]  # nothing has been learned yet
    ['a', 'photo', 'of', 'a']

    Args:
        class_index: class whose vectors to use, if contexts are class-specific (CSC).

    Raises:
        ValueError: if the student's tokenizer is not OpenAI's.
    """
    ctx = classifier.model.prompt_learner().ctx  # (groups or n_cls, n_ctx, width)
    if ctx is None:
        return []
    ctx = ctx[class_index if classifier.model.prompt_learner.class_specific else 0]
    embeddings = classifier.model.clip.towers.text.embedding.weight.float()  # (n_tokens, width)
    distances = torch.cdist(ctx.float(), embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.topk(min(n, len(embeddings)), largest=False)
    words = _vocabulary(classifier)
    return [
        [NearWord(words[token], distance) for token, distance in zip(*row, strict=True)]
        for row in zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True)
    ]


@torch.no_grad()
def text_movement(classifier: Classifier, template: str = "") -> list[Movement]:
    """How far each class's text feature has moved from its hand-written prompt, farthest first.

    Args:
        template: the hand-written prompt, with ``{}`` for the name; by default the one used in training.

    Raises:
        ValueError: if there are no class names, or the prompts depend on the image (CoCoOp).
    """
    template = template or classifier.description.get("template") or GENERIC
    check_template(template, "template")
    model = classifier.model
    written = ZeroShotClassifier(
        model.clip, classifier.classnames, [template], device=model.device, precision=model.precision
    )
    cosines = (classifier.text_features * written.text_features).sum(dim=-1).clamp(-1, 1).tolist()
    moved = zip(classifier.classnames, cosines, strict=True)
    found = [Movement(name, cosine, math.degrees(math.acos(cosine))) for name, cosine in moved]
    return sorted(found, key=lambda movement: movement.cosine)


def _vocabulary(classifier: Classifier) -> dict[int, str]:
    """The tokens of OpenAI's tokenizer as text, by id.

    Raises:
        ValueError: if the student has another tokenizer.
    """
    clip = classifier.model.clip
    example = ["a photo of an axolotl, 1847"]
    ours, theirs = clip.tokenize(example)[0], openai.tokenize(example)[0]
    if len(ours) != len(theirs) or not ours.equal(theirs):
        raise ValueError(f"The words of {clip.name} cannot be shown: only OpenAI's tokenizer is supported.")
    tokenizer = importlib.import_module(f"{import_clip().__name__}.simple_tokenizer").SimpleTokenizer()
    byte_of = tokenizer.byte_decoder
    return {
        token: bytearray(byte_of.get(c, 32) for c in text.removesuffix("</w>")).decode("utf-8", errors="replace")
        for token, text in tokenizer.decoder.items()
    }
