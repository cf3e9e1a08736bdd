"""Runs as jobs of Slurm, through submitit."""

import functools
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .local_engine import ROOT, WORK
from .optional import needed
from .runs import Run


class SlurmEngine:
    """Submits a job a run. A job that starts late finds out by itself whether there is still something to do."""

    pause = 2.0

    def __init__(
        self,
        slots: int,
        threads: int,
        cards: float,
        folder: Path,
        options: Mapping[str, str],
        work: tuple[str, ...] = WORK,
        cluster: str = "slurm",
    ):
        """
        Args:
            slots: jobs submitted at once.
            threads: CPUs of a job; 0: one.
            cards: a whole number; Slurm does not divide them.
            folder: for submitit's scripts and logs, on a disk that the cluster shares.
            options: of sbatch, such as {"partition": "gpu", "time": "240"}.
            cluster: "slurm", or submitit's "local" to try it without one.

        Raises:
            ValueError: if there is no Slurm here, or it cannot do what is asked for.
        """
        submitit = needed("submitit", "submitit", "slurm")
        self.refused = submitit.core.utils.FailedJobError
        if cards != int(cards):
            raise ValueError(
                f"--gpus is {cards}, and Slurm gives whole cards. Use --gpus 1, or --engine ray within an allocation."
            )
        self.slots, self.work, self.accepted = slots, work, False
        try:
            self.executor = submitit.AutoExecutor(folder=str(folder), cluster=cluster)
        except RuntimeError as error:
            raise ValueError(f"--engine slurm: {error}. Start it where `sbatch` works.") from error
        try:
            self.executor.update_parameters(
                name="kdpl", cpus_per_task=max(threads, 1), gpus_per_node=int(cards), timeout_min=24 * 60,
                **{f"slurm_{name}": int(value) if value.isdigit() else value for name, value in options.items()},
            )  # fmt: skip
        except NameError as error:  # submitit's, which lists what there is
            raise ValueError(f"--slurm: {error}") from error

    def start(self, run: Run) -> "SlurmJob":
        """
        Raises:
            ValueError: if Slurm refuses the very first job. Later that is a failure of this run alone, as ending the
                sweep would end the jobs that work.
        """
        command = [*self.work, run.to_json()]
        try:
            job = self.executor.submit(functools.partial(subprocess.call, command, cwd=str(ROOT)))
        except self.refused as error:
            if not self.accepted:
                raise ValueError(
                    f"Slurm did not take the first job: {str(error).strip()}\n--slurm KEY=VALUE sets options of "
                    "sbatch, and --gpus 0 asks for no card."
                ) from error
            return SlurmJob(None, said=str(error))
        self.accepted = True
        return SlurmJob(job)

    def close(self) -> None:
        """Jobs have been cancelled one by one."""


class SlurmJob:
    """A run that waits in the queue or works; without a job, one that Slurm did not take."""

    def __init__(self, job, said: str = ""):
        self.job, self.said = job, said

    def poll(self) -> int | None:
        """The exit code; None while it waits or works."""
        if self.job is None:
            return 1
        if not self.job.done():
            return None
        error = self.job.exception()
        if error is None:
            return self.job.result()
        self.said = f"job {self.job.job_id}: {error}"
        return 1

    def stop(self) -> None:
        if self.job is not None:
            self.job.cancel(check=False)
