"""Distributed classification on a Ray cluster, with Ray Data."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..extras import need
from .items import Item
from .predicting import Engine
from .rows import Row


def ray_engine(prompts: str, arguments: dict[str, Any], n_workers: int | None) -> Engine:
    """An engine that computes on a Ray cluster: the one at RAY_ADDRESS, or a local one.

    Every node must be able to read the prompts and the images under the same paths. Batches are the same as with the
    local engine; if a process dies, another one computes its batch again.

    Args:
        prompts, arguments: as :func:`kdpl.load` takes them.
        n_workers: number of processes, each with a copy of the student; by default 2.

    Raises:
        ValueError: if Ray Data is not installed.
    """
    data = need("ray.data", "sweeps", "--engine ray")

    def run(batches: Iterable[list[Item]], top: int) -> Iterator[list[Row]]:
        import ray
        import torch

        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level="ERROR")
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = [{"items": json.dumps(batch)} for batch in batches]  # as text, because a table cannot hold nested tuples
        if not rows:
            return
        work = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker,
            fn_constructor_kwargs={"prompts": prompts, "arguments": arguments, "top": top},
            batch_size=1,
            compute=data.ActorPoolStrategy(size=n_workers or 2),
            num_cpus=1,
            num_gpus=1 if torch.cuda.is_available() else 0,
        )
        for found in work.iter_rows():
            yield [Row(name, [tuple(pair) for pair in top], error) for name, top, error in json.loads(found["rows"])]

    return run


class _Worker:
    """A process on the cluster, which loads the classifier once and then computes batches."""

    def __init__(self, prompts: str, arguments: dict[str, Any], top: int):
        from ..classifier import load
        from .predicting import local_engine

        self.top = top
        self.compute = local_engine(load(prompts, **arguments), n_workers=0)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        items = [[Item(*fields) for fields in one] for one in map(json.loads, batch["items"])]
        return {"rows": [json.dumps(rows) for rows in self.compute(items, self.top)]}
