"""Sweeps as processes: claims, retries, kills; with runs of a tenth of a second (quick_sweep.py)."""

import contextlib
import fcntl
import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from kdpl.locks import claimed_by
from tools.sweep.drive import drive
from tools.sweep.local_engine import LocalEngine
from tools.sweep.runs import CLAIM
from tools.sweep.view import View

from .quick_sweep import WORK, is_finished, runs_below

N_RUNS = 20


def start(output: Path, n_runs: int = N_RUNS) -> subprocess.Popen:
    """A sweep of two jobs."""
    return subprocess.Popen(
        [*WORK, "drive", str(output), str(n_runs)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def records(output: Path) -> dict[str, str]:
    """The records below a folder, without the folder's own name."""
    return {
        str(file.relative_to(output)): file.read_text().replace(str(output), "OUTPUT")
        for file in sorted(output.rglob("results.json"))
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("uninterrupted")
    sweep = start(output)
    assert sweep.communicate(timeout=60) and sweep.returncode == 0
    return records(output)


def test_a_sweep_does_every_part_of_every_run_once(uninterrupted):
    assert len(uninterrupted) == 2 * N_RUNS
    assert all(json.loads(text)["steps"] == "0 1 2 3" for text in uninterrupted.values())


def test_killed_twenty_times_a_sweep_ends_with_the_same_records(tmp_path, tmp_path_factory):
    n_runs, chance = 60, random.Random(1)  # enough for two jobs to outlast all the killed sweeps
    uninterrupted = tmp_path_factory.mktemp("uninterrupted")
    start(uninterrupted, n_runs).communicate(timeout=60)
    for _ in range(20):
        sweep = start(tmp_path, n_runs)
        time.sleep(chance.uniform(0.05, 0.35))
        assert sweep.poll() is None
        for worker in chance.sample(workers := _workers(tmp_path), chance.randint(0, len(workers))):
            os.kill(worker, signal.SIGKILL)  # some of its runs, and right after them the sweep itself
        sweep.kill()
        sweep.wait()
        sweep.stderr.close()
    n_before = sum(map(is_finished, runs_below(tmp_path, n_runs)))
    sweep = start(tmp_path, n_runs)
    _, told = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, told
    assert records(tmp_path) == records(uninterrupted) and len(records(tmp_path)) == 2 * n_runs
    assert 0 < told.count("finished train/") == n_runs - n_before
    assert not list(tmp_path.rglob("OVERLAP"))


def _workers(output: Path) -> list[int]:
    claims = [text for file in output.rglob(CLAIM) if (text := claimed_by(file))]
    return [int(text.split()[1]) for text in claims if text.startswith("process")]


def test_two_sweeps_at_once_share_the_runs(tmp_path, uninterrupted):
    sweeps = [start(tmp_path), start(tmp_path)]
    told = [sweep.communicate(timeout=60)[1] for sweep in sweeps]
    assert [sweep.returncode for sweep in sweeps] == [0, 0], told
    assert records(tmp_path) == uninterrupted
    assert not list(tmp_path.rglob("OVERLAP"))
    logs = [file.read_text() for file in tmp_path.rglob("sweep.log")]
    assert [log.count("epoch [1/4]") for log in logs] == [2] * N_RUNS  # each of the two parts was done once


def test_the_runs_end_with_the_sweep_that_started_them(tmp_path):
    sweep = start(tmp_path)
    while not (workers := _workers(tmp_path)):
        time.sleep(0.01)
    sweep.kill()
    sweep.wait()
    sweep.stderr.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def drive_here(output: Path, runs: list, retries: int = 1, slots: int = 2) -> list:
    return drive(runs, LocalEngine(slots, 1, work=WORK), is_finished, retries, View(len(runs), slots))


def let_fail(run, times: int) -> None:
    run.folder.mkdir(parents=True)
    (run.folder / "fails").write_text(str(times))


def test_a_run_that_fails_once_is_tried_again(tmp_path, capfd):
    runs = runs_below(tmp_path, 3)
    let_fail(runs[1], times=1)
    assert drive_here(tmp_path, runs) == []
    assert all(map(is_finished, runs))
    assert "FAILED   train/seed1: trying again" in capfd.readouterr().err


def test_a_run_that_fails_again_is_reported_with_the_end_of_its_log_and_the_others_are_done(tmp_path):
    runs = runs_below(tmp_path, 3)
    let_fail(runs[1], times=2)
    (failure,) = drive_here(tmp_path, runs)
    assert failure.run == runs[1] and failure.code == 1
    assert failure.end_of_log.endswith("error: this run was told to fail")
    assert [is_finished(run) for run in runs] == [True, False, True]


def test_a_process_does_one_run_after_the_other_until_one_fails(tmp_path):
    runs = runs_below(tmp_path, 4)
    let_fail(runs[2], times=2)
    drive_here(tmp_path, runs, retries=0, slots=1)
    logs = [(run.folder / "sweep.log").read_text() for run in runs]
    first, second, third, fourth = (re.search(r"process (\d+) on", log)[1] for log in logs)
    assert first == second == third != fourth


def test_without_retries_a_run_fails_at_once(tmp_path):
    runs = runs_below(tmp_path, 1)
    let_fail(runs[0], times=1)
    assert len(drive_here(tmp_path, runs, retries=0)) == 1


def test_an_error_of_the_users_is_not_tried_again(tmp_path, capfd):
    engine = LocalEngine(1, 1, work=("sh", "-c", "exit 2"))
    (failure,) = drive(runs_below(tmp_path, 1), engine, is_finished, 5, View(1, 1))
    assert failure.code == 2 and capfd.readouterr().err.count("started") == 1


def test_a_process_that_cannot_start_says_why(tmp_path):
    runs = runs_below(tmp_path, 1)
    engine = LocalEngine(1, 1, work=(sys.executable, "no_such_file.py"))
    (failure,) = drive(runs, engine, is_finished, 0, View(1, 1))
    assert "no_such_file.py" in failure.end_of_log


def test_a_process_that_was_killed_says_so(tmp_path):
    runs = runs_below(tmp_path, 1)
    engine = LocalEngine(1, 1, work=("sh", "-c", "kill -9 $$"))
    (failure,) = drive(runs, engine, is_finished, 0, View(1, 1))
    assert failure.code == -signal.SIGKILL
    assert "ended by signal 9, Killed, which the system sends when memory runs out" in failure.end_of_log


def test_a_claimed_run_is_waited_for_and_taken_over(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("tools.sweep.drive.SECONDS_TO_WAIT_FOR_OTHERS", 0.1)
    runs = runs_below(tmp_path, 2)
    release = threading.Event()

    def hold() -> None:
        with runs[0].claim() as ours:
            assert ours
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    while not runs[0].claimed_by():
        time.sleep(0.01)
    threading.Timer(1.0, release.set).start()
    assert drive_here(tmp_path, runs) == []
    holder.join()
    told = capfd.readouterr().err
    assert told.index("waiting  train/seed0") < told.index("finished train/seed1") < told.index("finished train/seed0")
    assert told.count("waiting") == 1


def test_a_terminal_shows_a_bar_and_the_epochs_of_the_runs(tmp_path):
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
    command = [*WORK, "drive", str(tmp_path), "60"]  # takes five seconds, in which epochs are shown several times
    sweep = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=terminal, env={**os.environ, "COLUMNS": "90"})
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # reading past the end of a terminal is an error
        while text := os.read(main, 4096):
            shown += text
    os.close(main)
    assert sweep.wait() == 0
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[\w", "", shown.decode()))
    assert any("100%" in line and "60/60" in line for line in lines)
    assert any(re.match(r"(starting|epoch \[\d/4\] batch \[1/1\]) +train/seed\d+$", line) for line in lines)
    assert max(map(len, lines)) <= 90


def test_a_claim_is_exclusive_and_ends_with_its_block(tmp_path):
    (run,) = runs_below(tmp_path, 1)
    assert run.claimed_by() == ""
    with run.claim() as first:
        with run.claim() as second:
            assert (first, second) == (True, False)
        assert run.claimed_by().startswith(f"process {os.getpid()} on {os.uname().nodename}, since 2")
    assert run.claimed_by() == ""


@pytest.mark.parametrize("cards, seen", [(["0", "3"], ["0", "3", "0", "3"]), ([], ["none"] * 4)], ids=["two", "none"])
def test_slots_take_the_cards_in_turn_and_know_how_many_they_are(cards, seen, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    show = "print(os.environ['CUDA_VISIBLE_DEVICES'] or 'none', *sys.argv[1:], file=sys.stderr); sys.stdin.read()"
    engine = LocalEngine(4, 1, cards, work=(sys.executable, "-c", f"import os, sys; {show}"))
    processes = [engine.start(run) for run in runs_below(tmp_path, 4)]
    for process in processes:
        process.stop()
    assert [process.said.strip() for process in processes] == [f"{card} --serve 4" for card in seen]
