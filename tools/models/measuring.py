"""The largest difference between our features and those of a model's own library."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kdpl.clip.image_encoder import ImageEncoder
from kdpl.clip.loaded import LoadedCLIP
from kdpl.clip.loading import load_clip
from kdpl.clip.open_clip_names import import_open_clip
from kdpl.clip.text_features import text_function
from kdpl.methods import METHODS
from kdpl.prompts.prompted_clip import PromptedCLIP

from .families import Family, random_member

LARGEST = 1e-5  # relative to the largest number in the features
CLASSNAMES = ["dog", "grand piano", "wild cat", "hot air balloon", "axolotl"]
TEXTS = [f"a photo of a {name}." for name in CLASSNAMES]


@dataclass(frozen=True)
class Comparison:
    """The result for one family.

    Attributes:
        text, image: largest relative differences; for texts, over hand-written prompts and, if the tower takes learned
            prompts, the untrained contexts of CoOp.
        text_facts: attention, position of the feature, start tokens, context length; empty without learned prompts.
    """

    family: str
    member: str
    others: str
    text: float
    image: float
    text_prompts: bool
    visual_prompts: bool
    text_facts: str


@torch.inference_mode()
def compare(family: Family, folder: Path, small: bool) -> Comparison:
    """Compare one member of a family with open_clip's own ``encode_text`` and ``encode_image``."""
    clip, model = random_member(family, folder, small)
    tokens = import_open_clip().get_tokenizer(clip.name.removeprefix("open_clip:").partition("/")[0])(TEXTS)
    image = _images(clip)
    return _comparison(family, clip, model.encode_text(tokens), model.encode_image(image), image)


@torch.inference_mode()
def compare_transformers(folder: Path, small: bool) -> Comparison:
    """Compare a ``CLIPModel`` saved by transformers with transformers itself."""
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 2}
    images = {"image_size": 32, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        text, vision = (sizes, sizes | images) if small else ({}, {})
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=48)).eval()
    model.save_pretrained(folder)
    clip = load_clip(str(folder))
    tokens, image = clip.tokenize(TEXTS), _images(clip)
    theirs = [model.get_text_features(input_ids=tokens), model.get_image_features(pixel_values=image)]
    # Since version 5 of transformers, features are part of an output object.
    theirs = [found if isinstance(found, Tensor) else found.pooler_output for found in theirs]
    family = Family("transformers' CLIPModel", "openai/clip-vit-base-patch32")
    return _comparison(family, clip, *theirs, image)


def _comparison(family: Family, clip: LoadedCLIP, text: Tensor, image_features: Tensor, image: Tensor) -> Comparison:
    tower, vision = clip.towers.text, clip.towers.vision
    ours = [text_function(clip)(clip.tokenize(TEXTS))]
    if tower is not None:
        method = METHODS["CoOp"]
        learner = method.build_learner(clip, method.complete({}))
        model = PromptedCLIP(clip, learner, CLASSNAMES, device="cpu")
        ours.append(model.encode_text(learner())[0])
    return Comparison(
        family.name,
        family.member,
        family.others,
        text=max(relative_difference(each, text) for each in ours),
        image=relative_difference(ImageEncoder(clip.towers)(image), image_features),
        text_prompts=tower is not None,
        visual_prompts=tower is not None and vision is not None,
        text_facts=_facts(clip) if tower is not None else "",
    )


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference divided by the largest number; infinite if anything is not finite."""
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    return difference if math.isfinite(difference) else math.inf


def _facts(clip: LoadedCLIP) -> str:
    tower = clip.towers.text
    facts = [
        "causal" if tower.causal else "not causal",
        "end of text" if tower.reads_end else "last position",
        *["no start token"] * (tower.n_start == 0),
        f"{len(tower.positions)} tokens",
    ]
    return ", ".join(facts)


def _images(clip: LoadedCLIP) -> Tensor:
    size = clip.preprocessing.size
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
