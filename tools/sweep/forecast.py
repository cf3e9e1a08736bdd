"""What a sweep will take on this device, before any of its runs is finished: `python -m tools.sweep SPEC --plan`."""

from collections.abc import Iterable, Sequence

import train
from kdpl.clip.device import resolve_device
from kdpl.planning import Forecast, Planner, Workload, in_words

from .plan import FINISHED, cfg_of, state_of_part
from .runs import Part, Run


def forecast(runs: Sequence[Run]) -> str:
    """A table with one line for the runs that differ in the seed only, one after the other on one device.

    What is finished costs nothing, and features that an earlier run has left in the cache are not computed again.
    """
    planner = Planner(resolve_device("auto"))
    lines: dict[str, list[Forecast]] = {}
    for run in runs:
        todo = [part for part in run.parts if state_of_part(part)[0] != FINISHED]
        if todo:
            lines.setdefault(_title(run), []).append(_together(planner.forecast(_workload(part)) for part in todo))
    return in_words((f"{len(found)} x {title}", _together(found)) for title, found in lines.items())


def _workload(part: Part) -> Workload:
    cfg, _ = cfg_of(part.arguments)
    return train.workload(cfg, trains=part.trains)


def _title(run: Run) -> str:
    """What a run is, whatever its seed."""
    cfg, _ = cfg_of(run.parts[0].arguments)
    agnostic = " (class-agnostic)" * bool(run.parts[0].trains and cfg.TRAINER.KDPL.CLASS_AGNOSTIC)
    shots = f", {cfg.DATASET.NUM_SHOTS} shots" * run.parts[0].trains
    return f"{cfg.TRAINER.NAME}{agnostic} of {cfg.MODEL.BACKBONE.NAME} on {cfg.DATASET.NAME}{shots}"


def _together(forecasts: Iterable[Forecast]) -> Forecast:
    """Several as one: seconds and disk are sums, of an epoch the longest."""
    found = list(forecasts)
    return Forecast(
        first_epoch=max(each.first_epoch for each in found),
        later_epoch=max(each.later_epoch for each in found),
        total=sum(each.total for each in found),
        memory=max(each.memory for each in found),
        disk=sum(each.disk for each in found),
        in_chunks=any(each.in_chunks for each in found),
    )
