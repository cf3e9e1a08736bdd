"""What runs need of a machine: datasets, weights, a vocabulary. Looked at once, before the first of them starts."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

import datasets  # noqa: F401  registers them
from kdpl.clip.loading import fetch_clip
from kdpl.distillation.teacher import teacher_names
from kdpl.distillation.vocabulary import load_vocabulary

from .plan import FINISHED, cfg_of, state_of_part
from .runs import Part, Run

Need = tuple[str, ...]  # what kind it is of, and its names


def unmet_needs(runs: Sequence[Run]) -> dict[Run, str]:
    """Runs that cannot come to their end here, and what is wrong. What can be fetched or drawn is."""
    problems: dict[Need, str] = {}
    unmet = {}
    for run in runs:
        for need in _needs_of_run(run):
            if need not in problems:
                problems[need] = _problem(need)
            if problems[need]:
                unmet[run] = problems[need]
                break
    return unmet


def _needs_of_run(run: Run) -> Iterator[Need]:
    for part in run.parts:
        if state_of_part(part)[0] != FINISHED:
            yield from _needs_of_part(part)


def _needs_of_part(part: Part) -> Iterator[Need]:
    cfg, _ = cfg_of(part.arguments)
    yield "dataset", cfg.DATASET.NAME, cfg.DATASET.ROOT
    yield "clip", cfg.MODEL.BACKBONE.NAME
    if part.trains and cfg.TRAINER.NAME.endswith("_KDPL"):
        yield from (("clip", name) for name in teacher_names(cfg.TRAINER.KDPL.TEACHER))
        if cfg.TRAINER.KDPL.CLASS_AGNOSTIC:
            yield "vocabulary", cfg.TRAINER.KDPL.VOCABULARY


def _problem(need: Need) -> str:
    """Why a need is not met; empty if it is."""
    kind, name, *root = need
    try:
        if kind == "dataset":
            dataset = DATASET_REGISTRY.get(name)
            if hasattr(dataset, "unopened"):  # one of ours
                dataset.unopened(Path(*root)).check_layout()
        elif kind == "clip":
            fetch_clip(name)
        else:
            load_vocabulary(name)
    except (ValueError, OSError) as error:
        return str(error)
    return ""
