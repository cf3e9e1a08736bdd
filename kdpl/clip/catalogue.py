"""The CLIPs that are known by name."""

from collections.abc import Iterator
from typing import NamedTuple

from ..names import OPEN_CLIP_PREFIX
from .demo_weights import DEMO_WEIGHTS
from .licences import licence_of
from .loading import known_preprocessing, why_no_prompts
from .open_clip_names import import_open_clip
from .openai import OPENAI_WEIGHTS


class Model(NamedTuple):
    """A CLIP, as far as its name tells.

    Attributes:
        size: of its images, in pixels.
        licence: of the weights and, in a few words, its terms; empty if not known.
    """

    name: str
    size: int
    text_prompts: bool
    visual_prompts: bool
    licence: str


def models() -> Iterator[Model]:
    """All CLIPs known by name: the demo's, OpenAI's and, where it is installed, open_clip's. Nothing is fetched."""
    for name in (*DEMO_WEIGHTS, *OPENAI_WEIGHTS):
        yield _model(name, 64 if name in DEMO_WEIGHTS else known_preprocessing(name).size)
    try:
        pretrained = import_open_clip().list_pretrained()
    except ValueError:  # it is not installed
        return
    for model, tag in pretrained:
        name = f"{OPEN_CLIP_PREFIX}{model}/{tag}"
        yield _model(name, known_preprocessing(name).size)


def _model(name: str, size: int) -> Model:
    text = not why_no_prompts(name, text=True)
    visual = text and not why_no_prompts(name, visual=True) and name != "demo:teacher"  # which is a ResNet
    return Model(name, size, text, visual, str(licence_of(name) or ""))
