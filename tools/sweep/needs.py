"""What runs need on this machine (datasets, weights, a vocabulary), checked once before the first of them starts."""

from collections.abc import Iterator, Sequence
from functools import cache

from dassl.data.datasets import DATASET_REGISTRY

import datasets  # noqa: F401  registers them
from kdpl.clip.loading import fetch_clip
from kdpl.distillation.teacher import clips_of_teacher
from kdpl.distillation.vocabulary import load_vocabulary

from .plan import cfg_of, parts_left
from .runs import Run


def unmet_needs(runs: Sequence[Run]) -> dict[Run, str]:
    """Runs that cannot finish here, each with the reason. Weights are fetched and datasets drawn where possible."""
    problem = cache(_problem)  # what many runs need is checked once
    found = {run: next(filter(None, map(problem, _needs(run))), "") for run in runs}
    return {run: why for run, why in found.items() if why}


def _needs(run: Run) -> Iterator[tuple[str, ...]]:
    """Kind and name, and for datasets the data root."""
    for part in parts_left(run):
        cfg, _ = cfg_of(part.arguments)
        yield "dataset", cfg.DATASET.NAME, cfg.DATASET.ROOT
        yield "clip", cfg.MODEL.BACKBONE.NAME
        if part.trains and cfg.TRAINER.NAME.endswith("_KDPL"):
            yield from (("clip", name) for name in clips_of_teacher(cfg.TRAINER.KDPL.TEACHER))
            if cfg.TRAINER.KDPL.CLASS_AGNOSTIC:
                yield "vocabulary", cfg.TRAINER.KDPL.VOCABULARY


def _problem(need: tuple[str, ...]) -> str:
    """Why a need is not met; empty if it is."""
    kind, name, *root = need
    try:
        if kind == "dataset":
            DATASET_REGISTRY.get(name).unopened(*root).check_layout()
        elif kind == "clip":
            fetch_clip(name)
        else:
            load_vocabulary(name)
    except (ValueError, OSError) as error:
        return str(error)
    return ""
