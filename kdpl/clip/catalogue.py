"""The CLIPs that can be loaded by name."""

from collections.abc import Iterator
from typing import NamedTuple

from ..names import OPEN_CLIP_PREFIX
from .demo_weights import DEMO_WEIGHTS
from .licences import licence_of
from .loading import known_preprocessing, why_no_prompts
from .open_clip_names import import_open_clip
from .openai import OPENAI_WEIGHTS


class Model(NamedTuple):
    """What is known about a CLIP from its name.

    Attributes:
        size: side of its input images, in pixels.
        licence: licence of the weights with a summary of its terms; empty if unknown.
    """

    name: str
    size: int
    text_prompts: bool
    visual_prompts: bool
    licence: str


def models() -> Iterator[Model]:
    """All CLIPs known by name: the demo pair, OpenAI's and, if it is installed, open_clip's. Downloads nothing."""
    for name in (*DEMO_WEIGHTS, *OPENAI_WEIGHTS):
        yield _model(name, 64 if name in DEMO_WEIGHTS else known_preprocessing(name).size)
    try:
        pretrained = import_open_clip().list_pretrained()
    except ValueError:  # not installed
        return
    for model, tag in pretrained:
        name = f"{OPEN_CLIP_PREFIX}{model}/{tag}"
        yield _model(name, known_preprocessing(name).size)


def _model(name: str, size: int) -> Model:
    text = not why_no_prompts(name, text=True)
    visual = text and not why_no_prompts(name, visual=True) and name != "demo:teacher"  # a ResNet
    return Model(name, size, text, visual, str(licence_of(name) or ""))
