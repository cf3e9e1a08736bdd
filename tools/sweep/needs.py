"""What runs need of a machine: datasets, weights, a vocabulary. Looked at once, before the first of them starts."""

from collections.abc import Iterator, Sequence
from functools import cache

from dassl.data.datasets import DATASET_REGISTRY

import datasets  # noqa: F401  registers them
from kdpl.clip.loading import fetch_clip
from kdpl.distillation.teacher import clips_of_teacher
from kdpl.distillation.vocabulary import load_vocabulary

from .plan import FINISHED, cfg_of, state_of_part
from .runs import Run


def unmet_needs(runs: Sequence[Run]) -> dict[Run, str]:
    """Runs that cannot come to their end here, each with the reason. What can be fetched or drawn is."""
    problem = cache(_problem)  # a need that many runs share is looked at once
    found = {run: next(filter(None, map(problem, _needs(run))), "") for run in runs}
    return {run: why for run, why in found.items() if why}


def _needs(run: Run) -> Iterator[tuple[str, ...]]:
    """What kind of thing, which one, and where."""
    for part in run.parts:
        if state_of_part(part)[0] == FINISHED:
            continue
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
