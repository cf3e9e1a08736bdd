"""Level 1: whether a CLIP's weights are loaded unchanged, and give meaningful features and published outputs."""

import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..clip.loaded import LoadedCLIP
from ..clip.loading import DEMO_WEIGHTS, check_clip_name, load_clip
from ..clip.openai import OPENAI_WEIGHTS, openai_weights_file
from ..clip.precision import Precision, resolve_precision
from ..clip.weight_files import read_state_dict
from ..clip.zero_shot import ZeroShotClassifier
from ..images.files import read_image
from ..images.transforms import evaluation_transform
from .checks import FAIL, PASS, SKIPPED, Check, Report
from .published import MODEL, OUTPUTS, Output, find_picture
from .towers import check_features, check_pixels, check_tensors

TOKENS = {  # known texts and their ids, without trailing zeros
    "a diagram": [49406, 320, 22697, 49407],
    "a photo of a dog.": [49406, 320, 1125, 539, 320, 1929, 269, 49407],
    "a photo of a grand piano.": [49406, 320, 1125, 539, 320, 2991, 7894, 269, 49407],
}
# Words that should be nearest neighbours, by cosine of "a photo of a ...", for at least six of eight pairs.
PAIRS = (
    ("cat", "kitten"), ("dog", "puppy"), ("car", "automobile"), ("airplane", "aeroplane"), ("couch", "sofa"),
    ("bicycle", "bike"), ("child", "kid"), ("hamburger", "cheeseburger"),
)  # fmt: skip
ENOUGH = 0.75
LEAST_CORRELATION = 0.3


def run_level_1(
    report: Report, device: torch.device, models: Sequence[str], precision: str = "fp32",
    pictures: str | os.PathLike | None = None, fetch: bool = False, clips: Mapping[str, LoadedCLIP] | None = None,
) -> None:  # fmt: skip
    """Check CLIPs; the first two are also compared, as student and teacher.

    Args:
        models: names as accepted by :func:`kdpl.load_clip`.
        precision: precision for published outputs and for the agreement of student and teacher.
        pictures: folder with CLIP.png and 000000039769.jpg.
        fetch: whether to download missing pictures.
        clips: CLIPs to use instead of loading these names.

    Raises:
        ValueError: if a CLIP or the precision is unknown.
    """
    resolved = resolve_precision(precision, device)
    for name in models:
        check_clip_name(name)
    loaded = dict(clips or {})
    for name in models:
        with report.guarded(1, f"{name}: loading"):
            if name not in loaded:
                loaded[name] = load_clip(name)
            _check_clip(report, name, loaded[name])
            for output in OUTPUTS if name == MODEL else ():
                _check_output(report, loaded[name], output, device, resolved, pictures, fetch)
    if len(models) > 1 and all(name in loaded for name in models[:2]):
        with report.guarded(1, "agreement"):
            report.add(_agreement(*(loaded[name] for name in models[:2]), device, resolved))


def _check_clip(report: Report, name: str, clip: LoadedCLIP) -> None:
    known = OPENAI_WEIGHTS.get(name, (None,))[0]
    facts = {"sha256": clip.weights_sha256, "fingerprint": clip.fingerprint}
    source = "as published by OpenAI" if clip.weights_sha256 == known else "no published hash to compare with"
    report.add(Check(1, f"{name}: file", PASS, f"SHA-256 {clip.weights_sha256[:12]}..., {source}", facts=facts))
    weights = _openai_weights(name)
    if weights is None:
        message = "loaded by its own library; only pixels, texts and outputs are checked"
        report.add(Check(1, f"{name}: towers", SKIPPED, message))
        report.add(_named(check_pixels(1, clip.preprocessing, clip.preprocessing), name))
    else:
        report.add(_named(check_tensors(1, clip, weights), name))
        report.add(_named(check_features(1, clip, weights), name))
        report.add(_named(check_pixels(1, clip.preprocessing), name))
        report.add(_tokens(name, clip))
    report.add(_neighbours(name, clip))


def _openai_weights(name: str) -> Mapping[str, Tensor] | None:
    """The tensors in the file of a CLIP with OpenAI's layout; None for other CLIPs."""
    if name in DEMO_WEIGHTS:
        from ..clip.demo_weights import load_demo_state_dict

        return load_demo_state_dict(DEMO_WEIGHTS[name])
    if name not in OPENAI_WEIGHTS and not os.path.isfile(name):
        return None
    weights = read_state_dict(openai_weights_file(name) if name in OPENAI_WEIGHTS else name)
    return weights if {"visual.conv1.weight", "text_projection", "ln_final.weight"} <= weights.keys() else None


def _named(check: Check, name: str) -> Check:
    check.name = f"{name}: {check.name}"
    return check


def _tokens(name: str, clip: LoadedCLIP) -> Check:
    wrong = []
    for text, ids in TOKENS.items():
        ours = clip.tokenize([text])[0].tolist()
        if ours[: len(ids)] != ids or any(ours[len(ids) :]):
            wrong.append(f"{text!r} is encoded as {ours[: len(ids)]}, not {ids}")
    message = "; ".join(wrong) or f"token ids of {len(TOKENS)} known texts are correct"
    return Check(1, f"{name}: tokens", FAIL if wrong else PASS, message)


@torch.no_grad()
def _neighbours(name: str, clip: LoadedCLIP) -> Check:
    """Whether synonyms are nearest neighbours."""
    if name in DEMO_WEIGHTS:
        return Check(1, f"{name}: neighbours", SKIPPED, "the demo pair does not know everyday words")
    words = [word for pair in PAIRS for word in pair]
    features = ZeroShotClassifier(clip, words, device="cpu").text_features
    cosines = features @ features.T - 2 * torch.eye(len(words))
    nearest = [words[i] for i in cosines.argmax(dim=1).tolist()]
    partner = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
    found = sum(partner[word] == other for word, other in zip(words, nearest, strict=True))
    share = found / len(words)
    message = f"{found} of {len(words)} class names have their synonym as nearest neighbour"
    if share < ENOUGH:
        others = ", ".join(f"{word}: {other}" for word, other in list(zip(words, nearest, strict=True))[:4])
        message += f" ({others}); its text features are not meaningful: random or damaged weights, or another tokenizer"
    status = PASS if share >= ENOUGH else FAIL
    return Check(1, f"{name}: neighbours", status, message, {"share": share}, {"share": ENOUGH})


@torch.no_grad()
def _check_output(
    report: Report, clip: LoadedCLIP, output: Output, device: torch.device, precision: Precision,
    pictures: str | os.PathLike | None, fetch: bool,
) -> None:  # fmt: skip
    title = f"{clip.name}: {output.name}"
    with report.guarded(1, title):
        path = find_picture(output, pictures, fetch)
        if path is None:
            message = f"{output.picture.name} is missing; pass --fetch, or --pictures with its folder"
            report.add(Check(1, title, SKIPPED, message))
            return
        classifier = ZeroShotClassifier(clip, output.texts, ["{}"], device=device, precision=precision)
        image = evaluation_transform(clip.preprocessing)(read_image(path))[None].to(device)
        logits = classifier(image)[0].float().cpu()
        values = logits.softmax(dim=0) if output.what == "probabilities" else logits
        error = float((values - torch.tensor(output.values)).abs().max())
        tolerance = output.tolerance if precision.autocast_dtype is None else output.half_tolerance
        shown = ", ".join(f"{text!r} {value:.6g}" for text, value in zip(output.texts, values.tolist(), strict=True))
        expected = ", ".join(f"{value:.6g}" for value in output.values)
        message = f"{output.what} {shown}; published: {expected} ({output.source})"
        facts = {"picture_sha256": output.picture.hash.partition(":")[2], "values": values.tolist()}
        status = PASS if error <= tolerance else FAIL
        report.add(Check(1, title, status, message, {output.what: error}, {output.what: tolerance}, facts))


@torch.no_grad()
def _agreement(student: LoadedCLIP, teacher: LoadedCLIP, device: torch.device, precision: Precision) -> Check:
    """Correlation of the cosine similarities between class names in student and teacher.

    CLIPs trained on captions agree on which names are similar, even though their features differ.
    """
    names = _names_for(student.name)
    first, second = (_cosines(clip, names, device, precision) for clip in (student, teacher))
    value = float(torch.corrcoef(torch.stack([first, second]))[0, 1])
    message = f"cosines between {len(names)} class names in {student.name} and {teacher.name}: correlation {value:.2f}"
    status = PASS if value >= LEAST_CORRELATION else FAIL
    if status == FAIL:
        message += "; one of them does not understand these names: wrong file, tokenizer or activation"
    return Check(1, "agreement", status, message, {"correlation": value}, {"correlation": LEAST_CORRELATION})


def _names_for(model: str) -> list[str]:
    if model in DEMO_WEIGHTS:
        colours, styles, shapes = ("red", "blue", "green"), ("striped", "dotted"), ("circle", "star", "square")
        return [f"{colour} {style} {shape}" for colour in colours for style in styles for shape in shapes]
    return [word for pair in PAIRS for word in pair]


def _cosines(clip: LoadedCLIP, names: Sequence[str], device: torch.device, precision: Precision) -> Tensor:
    features = ZeroShotClassifier(clip, names, device=device, precision=precision).text_features.float().cpu()
    return (features @ features.T)[tuple(torch.triu_indices(len(names), len(names), offset=1))]
