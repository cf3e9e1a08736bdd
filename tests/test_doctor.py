"""The doctor reports what works, what does not, and what to do about it."""

import os
import subprocess
import sys


def doctor(*arguments, python_options=(), **environment):
    """The exit code, and the rest of each line by its first words."""
    done = subprocess.run(
        [sys.executable, *python_options, "-m", "tools.doctor", *arguments],
        env=dict(os.environ, **environment),
        capture_output=True,
        text=True,
    )
    return done.returncode, {line[:15].strip(): line[16:] for line in done.stdout.splitlines()}


def test_everything_needed_is_here_and_what_is_odd_is_named(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "RN50.pt").write_bytes(b"cut off")
    (tmp_path / "data" / "caltech-101").mkdir(parents=True)
    code, lines = doctor("--root", str(tmp_path / "data"), KDPL_CLIP_CACHE=str(tmp_path / "cache"))
    assert code == 0, lines
    assert all(line.startswith("ok") for name, line in lines.items() if name != "open_clip"), lines
    assert "RN50 WRONG HASH" in lines["OpenAI weights"] and "verified" not in lines["OpenAI weights"]
    assert "Caltech101 WITHOUT split_zhou_Caltech101.json (in" in lines["datasets"]


def test_without_the_packages_it_fails_and_says_how_to_install_them():
    code, lines = doctor(python_options=["-S"])  # no site-packages
    assert code == 1
    assert lines["torch"].startswith("BROKEN") and "pip install -r requirements.txt" in lines["torch"]
    assert lines["open_clip"].startswith("absent")
