"""The texts that the demo's CLIPs are trained on: captions of drawn pictures, and unrelated sentences."""

from functools import cache

import numpy as np
from torch import Tensor

from datasets.shapes_drawing import CONDITIONS, HUES, MEDIA, SHAPES, TEXTURES
from kdpl.import_guards import import_clip

import_clip()
from clip.simple_tokenizer import SimpleTokenizer  # noqa: E402

# A picture is described by five indices, one into each of these.
WORDS = (tuple(HUES), tuple(TEXTURES), tuple(SHAPES), MEDIA, CONDITIONS)
MEDIUM, CONDITION = 3, 4
UNNAMED = -1

ARTICLES = ("a", "a", "a", "the", "one")
ADJECTIVES = {
    "plain": ("clean",),
    "night": ("night", "dark"),
    "noise": ("grainy", "noisy"),
    "sketch": ("sketched", "pencil"),
}
CONDITION_NAMED = {"plain": 0.1, "night": 0.5, "noise": 0.5, "sketch": 0.5}  # share of the captions
ODD_WORD = 0.1  # share of the captions with an unrelated word before the medium


def caption(generator: np.random.Generator, picture: np.ndarray, generic: float) -> tuple[str, np.ndarray]:
    """A true sentence about a picture, and what it claims.

    Args:
        picture: (5,) indices into ``WORDS``.
        generic: probability of "a photo of a ..." whatever the medium, like a careless caption.

    Returns:
        The sentence, and (5,) indices with ``UNNAMED`` for what it does not mention.
    """
    colour, texture, shape, medium, condition = (words[i] for words, i in zip(WORDS, picture, strict=True))
    claim = picture.copy()
    claim[CONDITION] = UNNAMED
    if generator.random() < generic:
        claim[MEDIUM] = UNNAMED
        return f"a photo of a {colour} {texture} {shape}.", claim
    adjectives = []
    if generator.random() < ODD_WORD:
        adjectives.append(unrelated_word(generator))
    if generator.random() < CONDITION_NAMED[condition]:
        adjectives.append(_pick(generator, ADJECTIVES[condition]))
        claim[CONDITION] = picture[CONDITION]
    start = " ".join([_pick(generator, ARTICLES), *adjectives, medium])
    return f"{start} of {_pick(generator, ARTICLES)} {colour} {texture} {shape}.", claim


def unrelated_text(generator: np.random.Generator) -> str:
    """A sentence that is true of no picture but may share words with one, such as "a photo of a red lamp."."""
    name = [unrelated_word(generator)]
    if generator.random() < 0.5:
        name.append(unrelated_word(generator))
    if generator.random() < 0.6:
        name.insert(0, _pick(generator, WORDS[generator.integers(2)]))
    elif generator.random() < 0.3:
        name.append(_pick(generator, WORDS[2]))
    return f"{_pick(generator, ARTICLES)} {_pick(generator, MEDIA)} of {_pick(generator, ARTICLES)} {' '.join(name)}."


def is_true(claims: Tensor, pictures: Tensor) -> Tensor:
    """(n_pictures, n_captions) bool: whether a picture matches everything a caption claims. Both inputs are (n, 5)."""
    return ((claims == pictures[:, None]) | (claims == UNNAMED)).all(dim=-1)


def trained_tokens() -> list[int]:
    """The ids of all tokens in captions, except for unrelated words."""
    words = {word for group in (*WORDS[:4], ARTICLES, *ADJECTIVES.values()) for word in group} | {"of", "."}
    tokenizer = _tokenizer()
    ends = [tokenizer.encoder["<|startoftext|>"], tokenizer.encoder["<|endoftext|>"]]
    return sorted({token for word in words for token in tokenizer.encode(word)} | set(ends))


def unrelated_word(generator: np.random.Generator) -> str:
    """Any word of the tokenizer that captions do not use."""
    return _pick(generator, _unrelated_words())


_tokenizer = cache(SimpleTokenizer)


@cache
def _unrelated_words() -> tuple[str, ...]:
    trained = set(trained_tokens())
    ends = ((piece, token) for piece, token in _tokenizer().encoder.items() if piece.endswith("</w>"))
    words = ((piece.removesuffix("</w>"), token) for piece, token in ends)
    return tuple(word for word, token in words if token not in trained and word.isascii() and word.isalpha())


def _pick(generator: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[generator.integers(len(words))]


def random_pictures(generator: np.random.Generator, n: int) -> np.ndarray:
    """(n, 5) indices into ``WORDS``; two in five pictures have the plain condition."""
    columns = [generator.integers(len(words), size=n) for words in WORDS[:CONDITION]]
    columns.append(generator.choice(len(CONDITIONS), size=n, p=(0.4, 0.2, 0.2, 0.2)))
    return np.stack(columns, axis=1)
