"""Checks that a CLIP's towers compute the right features and get the right pixels, naming the probable cause if not."""

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from ..clip.loaded import LoadedCLIP
from ..clip.text_features import text_function
from ..clip.towers import Preprocessing
from ..images.transforms import Transform, evaluation_transform
from . import reference
from .checks import FAIL, PASS, Check
from .reference import MISTAKES, NONE, PIXEL_MISTAKES, Mistake

TEXTS = ("a photo of a dog.", "a photo of two cats sleeping on a red sofa.")
FEATURES, PIXELS = 1e-4, 1e-5  # tolerances: relative to the largest feature; absolute, in normalised pixels
TENSOR_MISTAKES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "half-precision rounding: weights were rounded to float16": lambda t: t.to(torch.float16).float(),
    "half-precision rounding: weights were rounded to bfloat16": lambda t: t.bfloat16().float(),
    "transposed": lambda t: t.T if t.dim() == 2 else t,
    "swapped channels": lambda t: t.flip(1) if t.dim() == 4 else t,
}


@torch.no_grad()
def check_features(level: int, clip: LoadedCLIP, weights: Mapping[str, Tensor], name: str = "") -> Check:
    """Compare both towers with the reference implementation, given ``weights`` in OpenAI's layout.

    Args:
        name: name of the CLIP in messages.
    """
    tokens = clip.tokenize(list(TEXTS))
    size = clip.preprocessing.size
    image = reference.pixels(reference.test_picture(), size)[None]
    ours = {"text": text_function(clip)(tokens)}
    if reference.is_vit(weights):
        ours["image"] = clip.towers.encode_image(image)

    def differences(mistake: Mistake) -> dict[str, float]:
        expected = {"text": reference.text_features(weights, tokens, mistake)}
        if "image" in ours:
            expected["image"] = reference.image_features(weights, image, mistake)
        return {tower: _relative(ours[tower], expected[tower]) for tower in ours}

    found = differences(NONE)
    tolerance = dict.fromkeys(found, FEATURES)
    what = f"{' and '.join(found)} features of {name or clip.name}"
    if all(value <= FEATURES for value in found.values()):
        return Check(level, "towers", PASS, f"{what} match the weights", found, tolerance)
    not_square = {key for key, t in weights.items() if t.dim() != 2 or t.shape[0] != t.shape[1]}
    cause = _cause(found, differences, not_square)
    return Check(level, "towers", FAIL, f"{what} do not match the weights; {cause}", found, tolerance)


def _cause(
    found: Mapping[str, float], differences: Callable[[Mistake], Mapping[str, float]], not_square: Collection[str]
) -> str:
    """The mistake that explains all wrong towers; it may affect only one of them."""
    wrong = [tower for tower, value in found.items() if value > FEATURES]
    possible = [mistake for mistake in MISTAKES if mistake.transposed not in not_square]
    best = {mistake.name: max(differences(mistake)[tower] for tower in wrong) for mistake in possible}
    name = min(best, key=best.get)
    # A different order of summation leaves differences of 1e-6, so a mistake need only explain most of the error.
    if best[name] <= FEATURES or best[name] <= 0.05 * max(found[tower] for tower in wrong):
        return name
    return f"no known mistake explains it (wrong: {', '.join(wrong)})"


def check_tensors(level: int, clip: LoadedCLIP, weights: Mapping[str, Tensor], name: str = "") -> Check:
    """Compare the tensors of a loaded CLIP with those of its file."""
    loaded = clip.model.state_dict()
    ours = {key: tensor for key, tensor in weights.items() if key in loaded and tensor.is_floating_point()}
    differing = [key for key, tensor in ours.items() if not _same(loaded[key], tensor)]
    if not differing:
        return Check(level, "tensors", PASS, f"all {len(ours)} tensors of {name or clip.name} match its file")
    causes = [
        cause
        for cause, change in TENSOR_MISTAKES.items()
        if all(_same(loaded[key], change(ours[key].float())) for key in differing)
    ]
    cause = causes[0] if causes else "no known mistake explains it"
    if cause == "transposed":
        cause = f"transposed projection: {differing[0]}"
    if cause == "swapped channels":
        cause += ": the first convolution reads blue, green, red"
    message = f"{len(differing)} of {len(ours)} tensors differ from the file, first {differing[0]}; {cause}"
    return Check(level, "tensors", FAIL, message, facts={"differ": differing[:20]})


def check_pixels(
    level: int, preprocessing: Preprocessing, expected: Preprocessing | None = None, transform: Transform | None = None
) -> Check:
    """Compare the preprocessing of a synthetic picture with the reference implementation.

    Args:
        expected: the correct preprocessing; by default OpenAI's at this size.
        transform: the transform to check; by default the one used for evaluation.
    """
    expected = expected or Preprocessing(preprocessing.size)
    picture = reference.test_picture()
    ours = (transform or evaluation_transform(preprocessing))(picture)
    found = {"pixels": float((ours - reference.pixels_for(picture, expected)).abs().max())}
    tolerance = {"pixels": PIXELS}
    if found["pixels"] <= PIXELS:
        return Check(level, "pixels", PASS, "the image tower gets correctly preprocessed pictures", found, tolerance)
    errors = {
        name: float((ours - reference.pixels(picture, expected.size, **mistake)).abs().max())
        for name, mistake in PIXEL_MISTAKES.items()
    }
    name = min(errors, key=errors.get)
    cause = name if errors[name] <= PIXELS else "no known mistake explains it"
    return Check(level, "pixels", FAIL, f"the image tower gets wrong pixels; {cause}", found, tolerance)


def _relative(ours: Tensor, expected: Tensor) -> float:
    if ours.shape != expected.shape:
        return float("inf")
    return float((ours.float() - expected).abs().max() / expected.abs().max())


def _same(loaded: Tensor, expected: Tensor) -> bool:
    return loaded.shape == expected.shape and torch.equal(loaded.float().cpu(), expected.float())
