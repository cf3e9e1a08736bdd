"""Runs on a Ray cluster whose machines have this checkout, its environment, data and output at the same paths."""

import os

import ray

from .local_engine import ROOT, WORK
from .runs import Run
from .work import WITH_PARENT

RESTARTS = 20  # how often Ray restarts a run whose machine died


class RayEngine:
    """Hands runs to Ray, which places them by the CPUs and GPUs they need.

    If a machine dies, Ray restarts its runs elsewhere, where they resume after the last finished epoch. The cluster is
    the one named by RAY_ADDRESS or the one this machine belongs to; otherwise Ray starts one on this machine.
    """

    pause = 0.5

    def __init__(self, slots: int, threads: int, cards: float | None, work: tuple[str, ...] = WORK):
        """
        Args:
            slots: runs submitted at once.
            threads: CPUs per run, with one thread each; 0: one.
            cards: GPUs per run, possibly a fraction such as 0.5; None: one, or none if the cluster has no GPU.
        """
        self.slots = slots
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level="warning")
        if cards is None:
            cards = 1 if ray.cluster_resources().get("GPU") else 0

        # A nested function, so that Ray ships its code: the cluster's processes cannot import this package.
        def work_remotely(command: list[str], folder: str, environment: dict[str, str]) -> int:
            import os
            import subprocess

            process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.PIPE)
            return process.wait()  # it ends when its standard input closes, which is when this process ends

        self.task = ray.remote(num_cpus=max(threads, 1), num_gpus=cards, max_retries=RESTARTS)(work_remotely)
        self.work = [*work, WITH_PARENT]
        self.environment = {"OMP_NUM_THREADS": str(max(threads, 1))}
        self.environment |= {name: os.environ[name] for name in ("KDPL_CLIP_CACHE",) if name in os.environ}

    def start(self, run: Run) -> "RayTask":
        return RayTask(self.task.remote([*self.work, run.to_json()], str(ROOT), self.environment))

    def close(self) -> None:
        ray.shutdown()


class RayTask:
    """A run that was handed to Ray."""

    def __init__(self, reference: ray.ObjectRef):
        self.reference, self.said = reference, ""

    def poll(self) -> int | None:
        done, _ = ray.wait([self.reference], timeout=0)
        if not done:
            return None
        try:
            return ray.get(self.reference)
        except ray.exceptions.RayError as error:
            self.said = str(error)
            return 1

    def stop(self) -> None:
        ray.cancel(self.reference, force=True)
