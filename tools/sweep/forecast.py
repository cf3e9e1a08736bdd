"""What a sweep will cost on this device before any run has finished: `python -m tools.sweep SPEC --plan`."""

from collections.abc import Iterable, Sequence

import train
from kdpl.clip.device import resolve_device
from kdpl.planning import Forecast, Planner, in_words

from .plan import cfg_of, parts_left
from .runs import Run


def forecast(runs: Sequence[Run]) -> str:
    """A table with one line per group of runs that differ only in the seed, assuming one device.

    Finished runs cost nothing, and features that an earlier run leaves in the cache are not computed again.
    """
    planner = Planner(resolve_device("auto"))
    lines: dict[str, list[Forecast]] = {}
    for run in runs:
        work = [train.workload(cfg_of(part.arguments)[0], trains=part.trains) for part in parts_left(run)]
        if work:
            lines.setdefault(_title(run), []).append(_together(map(planner.forecast, work)))
    return in_words((f"{len(found)} x {title}", _together(found)) for title, found in lines.items())


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
