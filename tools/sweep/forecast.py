"""What a sweep will cost on this device before any run has finished: `python -m tools.sweep SPEC --plan`."""

from collections.abc import Iterable, Sequence

import train
from kdpl.clip.device import resolve_device
from kdpl.planning import Forecast, Planner, Workload, in_words

from .plan import FROM_ALL_CLASSES, cfg_of, parts_left
from .runs import Run


def forecast(runs: Sequence[Run]) -> str:
    """A table with one line per group of runs that differ only in the seed, assuming one device.

    Finished runs cost nothing, and features that an earlier run leaves in the cache are not computed again.
    """
    planner = Planner(resolve_device("auto"))
    lines: dict[str, list[Forecast]] = {}
    for run in runs:
        if work := _workloads(run):
            lines.setdefault(_title(run), []).append(_together(map(planner.forecast, work)))
    return in_words((f"{len(found)} x {title}", _together(found)) for title, found in lines.items())


def _workloads(run: Run) -> list[Workload]:
    """What is left to do; evaluations that share the outputs for all classes are one."""
    work, shared = [], False
    for part in parts_left(run):
        arguments = part.arguments
        if FROM_ALL_CLASSES in arguments:
            if shared:
                continue
            arguments, shared = (*arguments, "DATASET.SUBSAMPLE_CLASSES", "all"), True
        work.append(train.workload(cfg_of(arguments)[0], trains=part.trains))
    return work


def _title(run: Run) -> str:
    """A description of the run without its seed."""
    cfg, _ = cfg_of(run.parts[0].arguments)
    agnostic = " (class-agnostic)" * bool(run.parts[0].trains and cfg.TRAINER.KDPL.CLASS_AGNOSTIC)
    shots = f", {cfg.DATASET.NUM_SHOTS} shots" * run.parts[0].trains
    return f"{cfg.TRAINER.NAME}{agnostic} of {cfg.MODEL.BACKBONE.NAME} on {cfg.DATASET.NAME}{shots}"


def _together(forecasts: Iterable[Forecast]) -> Forecast:
    """Add up times and disk; take the largest of everything else."""
    found = list(forecasts)
    return Forecast(
        first_epoch=max(each.first_epoch for each in found),
        later_epoch=max(each.later_epoch for each in found),
        total=sum(each.total for each in found),
        memory=max(each.memory for each in found),
        disk=sum(each.disk for each in found),
        in_chunks=any(each.in_chunks for each in found),
    )
