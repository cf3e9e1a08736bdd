"""Runs as Slurm jobs, submitted through submitit."""

import functools
import subprocess
from collections.abc import Mapping
from pathlib import Path

import submitit
from submitit.core.utils import FailedJobError

from .local_engine import ROOT, WORK
from .runs import Run


class SlurmEngine:
    """Submits one job per run. A job that starts late checks for itself whether anything is left to do."""

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
            threads: CPUs per job; 0: one.
            cards: GPUs per job, a whole number.
            folder: for submitit's scripts and logs, on a disk that the cluster shares.
            options: for sbatch, such as {"partition": "gpu", "time": "240"}.
            cluster: "slurm", or submitit's "local" to try it without Slurm.

        Raises:
            ValueError: if Slurm is not available here or cannot do what is asked.
        """
        if cards != int(cards):
            raise ValueError(
                f"--gpus is {cards}, but Slurm allocates whole GPUs. Use --gpus 1, or --engine ray in an allocation."
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
        except NameError as error:  # submitit's, which lists the known options
            raise ValueError(f"--slurm: {error}") from error

    def start(self, run: Run) -> "SlurmJob":
        """Submit a job.

        Raises:
            ValueError: if Slurm rejects the very first job. A later rejection fails only its own run, because ending
                the sweep would end the jobs that are running.
        """
        command = [*self.work, run.to_json()]
        try:
            job = self.executor.submit(functools.partial(subprocess.call, command, cwd=str(ROOT)))
        except FailedJobError as error:
            if not self.accepted:
                raise ValueError(
                    f"Slurm did not accept the first job: {str(error).strip()}\n--slurm KEY=VALUE sets options of "
                    "sbatch, and --gpus 0 requests no GPU."
                ) from error
            return SlurmJob(None, said=str(error))
        self.accepted = True
        return SlurmJob(job)

    def close(self) -> None:
        """Nothing to do: jobs have been cancelled one by one."""


class SlurmJob:
    """A run that is queued or running; without a job, one that Slurm rejected."""

    def __init__(self, job: submitit.Job | None, said: str = ""):
        self.job, self.said = job, said

    def poll(self) -> int | None:
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
