"""How every command handles Ctrl-C, closed pipes, full disks and its own bugs."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kdpl import guard

from .conftest import ROOT


def failing(error):
    def work():
        raise error

    return work


def test_ctrl_c_waits_for_a_safe_place():
    steps = []
    with pytest.raises(KeyboardInterrupt), guard.at_safe_places():
        signal.raise_signal(signal.SIGINT)
        steps.append("the step ends")
        guard.safe_place()
        steps.append("no further step")
    assert steps == ["the step ends"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    guard.safe_place()  # nothing is left of it


def test_ctrl_c_without_a_safe_place_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), guard.at_safe_places():
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_comes_before_the_error_that_it_causes():
    with pytest.raises(KeyboardInterrupt), guard.at_safe_places():
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("DataLoader worker exited unexpectedly")


def test_a_second_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt), guard.at_safe_places():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("still here")


def test_a_block_within_a_block_leaves_ctrl_c_to_the_outer_one():
    steps = []
    with pytest.raises(KeyboardInterrupt), guard.at_safe_places():
        with guard.at_safe_places():
            signal.raise_signal(signal.SIGINT)
        steps.append("after the inner block")
        guard.safe_place()
        steps.append("no further step")
    assert steps == ["after the inner block"]


def test_in_a_thread_ctrl_c_is_left_alone():
    def work():
        with guard.at_safe_places():
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


@pytest.mark.parametrize(
    "error, code, words",
    [
        (ValueError("N is 3; choose 1 or 2."), guard.USER_ERROR, "error: N is 3; choose 1 or 2.\n"),
        (IsADirectoryError(errno.EISDIR, "", "out"), guard.USER_ERROR, "error: out: Is a directory; it must be a file"),
        (OSError(errno.ENOSPC, "", "resume.pth"), guard.USER_ERROR, "error: resume.pth: No space left on device"),
        (MemoryError(), guard.USER_ERROR, "error: out of memory."),
        (ModuleNotFoundError("", name="ray"), guard.USER_ERROR, "error: the package ray is missing"),
        (KeyboardInterrupt(), guard.INTERRUPTED, "\nInterrupted. It continues.\n"),
    ],
)  # fmt: skip
def test_expected_errors_are_one_sentence(error, code, words, capsys, monkeypatch):
    monkeypatch.delenv("KDPL_TRACEBACK", raising=False)
    assert guard.guarded(failing(error), "It continues.") == code
    assert capsys.readouterr().err.startswith(words)


def test_a_bug_is_reported_as_one_with_the_traceback_in_a_file(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("KDPL_TRACEBACK", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert guard.guarded(failing(KeyError("missing"))) == guard.BUG
    said = capsys.readouterr().err
    assert "this is a bug in KDPL (KeyError: 'missing')" in said and "Traceback" not in said
    (report,) = tmp_path.iterdir()
    assert str(report) in said
    assert "Traceback (most recent call last)" in report.read_text() and "in work" in report.read_text()


def test_if_a_report_cannot_be_written_the_message_has_the_line_of_code(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("KDPL_TRACEBACK", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert guard.guarded(failing(TypeError("wrong"))) == guard.BUG
    assert f"{Path(__file__).name}, line" in capsys.readouterr().err


def run(*command, **kwargs):
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, **kwargs,
    )  # fmt: skip


def test_closed_and_full_outputs_end_in_one_sentence():
    show = ("-m", "kdpl", "show", "no such file")
    without = run("-c", f"import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *{show!r}])")
    assert without.returncode == 2 and "Traceback" not in without.stderr
    full = run("-m", "tools.doctor", stdout=open("/dev/full", "w")) if os.path.exists("/dev/full") else None
    if full:
        assert (full.returncode, full.stderr) == (
            2,
            f"error: standard output or a file: {os.strerror(errno.ENOSPC)}{guard.REASONS[errno.ENOSPC]}.\n",
        )


@pytest.mark.parametrize("module", ["kdpl", "tools.sweep"])
def test_ctrl_c_during_the_imports_ends_without_a_traceback(module):
    code = (
        "import signal, sys, threading, runpy\n"
        "class Sender:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'torch': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Sender())\n"
        f"sys.orig_argv = ['python', '-m', '{module}']; sys.argv = ['-m', '--help']\n"
        f"runpy.run_module('{module}', run_name='__main__', alter_sys=False)\n"
    )
    done = run("-c", code)
    assert (done.returncode, done.stderr) == (130, "\nInterrupted.\n")
