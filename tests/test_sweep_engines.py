"""Sweeps on a Ray cluster and on Slurm; with runs of a tenth of a second (quick_sweep.py)."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.sweep.__main__ import make_engine, parse
from tools.sweep.drive import drive
from tools.sweep.spec import parse_spec
from tools.sweep.view import View

from .quick_sweep import WORK, is_finished, runs_below
from .test_sweep_drive import let_fail, records, uninterrupted  # noqa: F401  a fixture

N_RUNS = 20


def sweep(runs: list, engine, retries: int = 1) -> list:
    return drive(runs, engine, is_finished, retries, View(len(runs), 2))


@pytest.mark.parametrize("engine, package", [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_asked_for_by_name(engine, package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"tools.sweep.{engine}_engine", raising=False)
    spec = parse_spec({"protocol": "base2new", "students": {"RN50": "CoOp"}, "settings": "kdpl"})
    with pytest.raises(ValueError, match=f"--engine {engine} needs the package {package}.*requirements-cluster.txt"):
        make_engine(parse(["spec.yaml", "--engine", engine]), spec, tmp_path)


@pytest.fixture
def ray_engine() -> type:
    pytest.importorskip("ray", reason="needs ray: pip install -r requirements-cluster.txt")
    from tools.sweep.ray_engine import RayEngine

    return RayEngine


@pytest.fixture
def two_nodes(ray_engine) -> Iterator[tuple]:
    """A Ray cluster of two nodes with a CPU each, simulated on this machine; and its second node."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


def test_a_ray_cluster_finishes_a_sweep_though_one_of_two_nodes_dies(
    tmp_path,
    two_nodes,
    ray_engine,
    uninterrupted,  # noqa: F811
):
    cluster, second = two_nodes
    assert len({node["NodeID"] for node in _ray_nodes()}) == 2

    def kill_second() -> None:
        while len(records(tmp_path)) < 6:
            time.sleep(0.02)
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill_second)
    killer.start()
    assert sweep(runs_below(tmp_path, N_RUNS), ray_engine(N_RUNS, 1, cards=0, work=WORK)) == []
    killer.join()
    assert records(tmp_path) == uninterrupted
    assert not list(tmp_path.rglob("OVERLAP"))


def _ray_nodes() -> list[dict]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def test_ray_hands_back_what_failed(tmp_path, two_nodes, ray_engine):
    runs = runs_below(tmp_path, 3)
    let_fail(runs[0], times=1)
    let_fail(runs[1], times=2)
    (failure,) = sweep(runs, ray_engine(3, 1, cards=0, work=WORK))
    assert failure.run == runs[1] and "this run was told to fail" in failure.end_of_log


@pytest.fixture
def slurm_engine() -> type:
    pytest.importorskip("submitit", reason="needs submitit: pip install -r requirements-cluster.txt")
    from tools.sweep.slurm_engine import SlurmEngine

    return SlurmEngine


def test_submitit_finishes_a_sweep(tmp_path, slurm_engine):
    runs = runs_below(tmp_path, 4)
    let_fail(runs[0], times=1)
    let_fail(runs[1], times=2)
    engine = slurm_engine(4, 1, 0, tmp_path / ".slurm", {"partition": "any"}, work=WORK, cluster="local")
    (failure,) = sweep(runs, engine)
    assert failure.run == runs[1] and "this run was told to fail" in failure.end_of_log
    assert [is_finished(run) for run in runs] == [True, False, True, True]


def test_what_slurm_cannot_do_is_refused(tmp_path, slurm_engine, monkeypatch):
    with pytest.raises(ValueError, match="--gpus is 0.5, but Slurm allocates whole GPUs"):
        slurm_engine(1, 1, 0.5, tmp_path, {})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="Start it where `sbatch` works"):
        slurm_engine(1, 1, 0, tmp_path, {})


def test_a_first_job_that_slurm_rejects_is_an_error_and_a_later_one_fails_only_its_run(
    tmp_path, slurm_engine, monkeypatch
):
    programs, jobs = tmp_path / "programs", tmp_path / "jobs"
    programs.mkdir()
    for name, script in {
        "srun": "exit 0",
        "sbatch": f'echo . >> {jobs}; [ $(wc -l < {jobs}) = 2 ] || {{ echo "error: invalid partition" >&2; exit 1; }}; '
        "echo Submitted batch job 7",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pytest.raises(ValueError, match="--slurm: Unknown argument 'partitoin'.*array_parallelism"):
        slurm_engine(1, 1, 0, tmp_path, {"partitoin": "gpu"})
    engine = slurm_engine(1, 1, 0, tmp_path, {"partition": "nowhere"}, work=WORK)
    run, *_ = runs_below(tmp_path, 1)
    with pytest.raises(ValueError, match="Slurm did not accept the first job: error: invalid partition"):
        engine.start(run)
    engine.start(run)
    refused = engine.start(run)
    assert refused.poll() == 1 and "invalid partition" in refused.said


@pytest.fixture
def slurm(tmp_path) -> Iterator[None]:
    """A Slurm cluster of this machine alone, from the packages slurmctld, slurmd, slurm-client and munge."""
    if not os.environ.get("KDPL_TEST_SLURM"):
        pytest.skip("starts a Slurm as root: KDPL_TEST_SLURM=1, after apt install slurmctld slurmd slurm-client munge")
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    assert not missing, f"apt install slurmctld slurmd slurm-client munge: there is no {', '.join(missing)}"
    folder, node = tmp_path / "slurm", os.uname().nodename
    folder.mkdir()
    (folder / "slurm.conf").write_text(
        f"ClusterName=test\nSlurmctldHost={node}(127.0.0.1)\nSlurmUser=root\nAuthType=auth/munge\n"
        f"CryptoType=crypto/munge\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\n"
        f"StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\nSlurmctldPidFile={folder}/slurmctld.pid\n"
        f"SlurmdPidFile={folder}/slurmd.pid\nSlurmctldLogFile={folder}/slurmctld.log\n"
        f"SlurmdLogFile={folder}/slurmd.log\nSelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\n"
        f"JobAcctGatherType=jobacct_gather/none\nReturnToService=2\nSchedulerParameters=sched_interval=1\n"
        f"NodeName={node} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN\n"
        f"PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP\n"
    )
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = Path("/run/munge")
    munge.mkdir(exist_ok=True)
    started = []
    try:
        subprocess.run(["munged", "--force"], check=True)
        for name, flags in (("slurmctld", ["-D"]), ("slurmd", ["-D"])):
            started.append(subprocess.Popen([name, *flags], env=environment, stderr=subprocess.DEVNULL))
        os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
        deadline = time.monotonic() + 60
        while "idle" not in subprocess.run(["sinfo", "-h"], capture_output=True, text=True).stdout:
            assert time.monotonic() < deadline, (folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.5)
        yield
    finally:
        os.environ.pop("SLURM_CONF", None)
        for process in started:
            process.terminate()
            process.wait()
        subprocess.run(["munged", "--stop"], check=False)


def test_a_real_slurm_finishes_a_sweep(tmp_path, slurm_engine, slurm):
    runs = runs_below(tmp_path / "output", 4)
    let_fail(runs[0], times=1)
    engine = slurm_engine(4, 1, 0, tmp_path / "output" / ".slurm", {"partition": "all", "time": "5"}, work=WORK)
    assert sweep(runs, engine) == []
    assert all(map(is_finished, runs))
