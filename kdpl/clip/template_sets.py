"""Named ensembles of hand-written prompts."""

import importlib.util
import json
from pathlib import Path

from ..names import check_known
from .templates import ENSEMBLE_OF_7, ENSEMBLE_OF_60, GENERIC

SHIPPED = {"generic": (GENERIC,), "imagenet-7": ENSEMBLE_OF_7, "promptsrc-60": ENSEMBLE_OF_60}
CLIP_BENCHMARK = "clip_benchmark:"
CLIP_BENCHMARK_DATASETS = {  # our dataset name: CLIP_benchmark's
    "ImageNet": "imagenet1k", "ImageNetV2": "imagenet1k", "ImageNetSketch": "imagenet1k", "ImageNetA": "imagenet1k",
    "ImageNetR": "imagenet1k", "OxfordPets": "pets", "StanfordCars": "cars", "FGVCAircraft": "fgvc_aircraft",
}  # fmt: skip


def template_set(name: str) -> tuple[str, ...]:
    """The templates of an ensemble, for :class:`kdpl.ZeroShotClassifier`.

    >>> from kdpl.clip.template_sets import template_set
    >>> len(template_set("imagenet-7")), template_set("generic")
    (7, ('a photo of a {}.',))

    Args:
        name: generic, imagenet-7, promptsrc-60, or "clip_benchmark:<dataset>", such as clip_benchmark:cars, which reads
            the installed package clip-benchmark.

    Raises:
        ValueError: if the ensemble is unknown.
        FileNotFoundError: if clip-benchmark is needed but not installed.
    """
    if not name.startswith(CLIP_BENCHMARK):
        check_known(name, [*SHIPPED, f"{CLIP_BENCHMARK}<dataset>"], "template set", "the name of a template set")
        return SHIPPED[name]
    known = json.loads(_clip_benchmark_file().read_text(encoding="utf-8"))
    dataset = name.removeprefix(CLIP_BENCHMARK)
    check_known(dataset, list(known), "dataset of clip-benchmark", "the name of a template set")
    return tuple(template.replace("{c}", "{}") for template in known[dataset])


def clip_benchmark_names(dataset: str, classnames: list[str]) -> list[str]:
    """Class names as CLIP_benchmark writes them: cars have the year at the end.

    >>> clip_benchmark_names("StanfordCars", ["2012 Audi TTS Coupe"])
    ['Audi TTS Coupe 2012']
    """
    if dataset != "StanfordCars":
        return list(classnames)
    return [" ".join([*name.split(" ")[1:], name.split(" ")[0]]) for name in classnames]


def _clip_benchmark_file() -> Path:
    spec = importlib.util.find_spec("clip_benchmark")
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        file = folder / "datasets" / "en_zeroshot_classification_templates.json"
        if file.is_file():
            return file
    raise FileNotFoundError(
        "The templates of CLIP_benchmark are part of its package, which is not installed. "
        "Install it (its dependencies are not needed): pip install --no-deps clip-benchmark"
    )
