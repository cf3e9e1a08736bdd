"""Runs on any Ray cluster; its machines have this checkout, its environment, data and output at the same paths."""

import os

from .local_engine import ROOT, WORK
from .optional import needed
from .runs import Run
from .work import WITH_PARENT


class RayEngine:
    """Hands runs to Ray, which places them by their shares of CPUs and cards.

    A run whose machine died is started again by Ray on another one, where it resumes after its last finished epoch.
    The cluster is the one that RAY_ADDRESS names, or that this machine belongs to; else one is made of this machine.
    """

    pause = 0.5
    restarts = 20  # by Ray, of one run, when machines die

    def __init__(self, slots: int, threads: int, cards: float | None, work: tuple[str, ...] = WORK):
        """
        Args:
            slots: runs handed over at once.
            threads: CPUs of a run; 0: one, of which it uses all threads that Ray gives it.
            cards: share of a card of a run, such as 0.5; None: one, or 0 if the cluster has none.
        """
        self.ray = ray = needed("ray", "ray", "ray")
        self.slots = slots
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level="warning")
        if cards is None:
            cards = 1 if ray.cluster_resources().get("GPU") else 0

        # Within a function, so that it travels whole: Ray's processes cannot import this package.
        def work_remotely(command: list[str], folder: str, environment: dict[str, str]) -> int:
            import os
            import subprocess

            process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.PIPE)
            return process.wait()  # its standard input ends with this process, and then it ends as well

        self.task = ray.remote(num_cpus=max(threads, 1), num_gpus=cards, max_retries=self.restarts)(work_remotely)
        self.work = [*work, WITH_PARENT]
        self.environment = {"OMP_NUM_THREADS": str(max(threads, 1))}
        self.environment |= {name: os.environ[name] for name in ("KDPL_CLIP_CACHE",) if name in os.environ}

    def start(self, run: Run) -> "RayTask":
        return RayTask(self.ray, self.task.remote([*self.work, run.to_json()], str(ROOT), self.environment))

    def close(self) -> None:
        self.ray.shutdown()


class RayTask:
    """A run in Ray's hands."""

    def __init__(self, ray, reference):
        self.ray, self.reference = ray, reference
        self.said = ""

    def poll(self) -> int | None:
        """The exit code; None while it waits or works."""
        done, _ = self.ray.wait([self.reference], timeout=0)
        if not done:
            return None
        try:
            return self.ray.get(self.reference)
        except self.ray.exceptions.RayError as error:
            self.said = str(error)
            return 1

    def stop(self) -> None:
        self.ray.cancel(self.reference, force=True)
