"""README, docs/ and the other pages: they build, link to what exists, and show commands that work."""

import contextlib
import importlib
import inspect
import io
import re
import shlex
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from kdpl.__main__ import main as kdpl
from tools import docs
from tools.sweep.__main__ import main as sweep

from .conftest import ROOT

PAGES = [*(ROOT / name for name in docs.PAGES), *sorted((ROOT / "docs").glob("*.md"))]
# What a page may show besides our own commands, and what of it is followed by a command of ours.
SYSTEM = {"pip", "cd", "df", "git", "mkdocs", "nvidia-smi", "export", "pytest", "source", "docker", "huggingface-cli"}


def commands(page: Path) -> list[str]:
    """The command lines of a page's blocks of shell, and those within its sentences and tables."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, re.DOTALL):
        found += re.sub(r"\\\n\s*", " ", block).splitlines()
    found += re.findall(r"`((?:python -m tools\.|python train\.py|kdpl |bash scripts/)[^`]*)`", text)
    return [
        part.strip() for line in found for part in re.split(r"\s+#|&&", line)[:1] if part.strip() and line[0] != "#"
    ]


DOCUMENTED = sorted({command for page in PAGES if page.is_file() for command in commands(page)})


def without_environment(command: str) -> list[str]:
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


@pytest.fixture(scope="module")
def help_of():
    """The text that a program prints with --help, asked for once."""
    known: dict[tuple[str, ...], str] = {}

    def ask(*program: str) -> str:
        if program not in known:
            known[program] = _help(*program)
        return known[program]

    return ask


def _help(*program: str) -> str:
    if program[0] == "bash":
        done = subprocess.run([*program, "--help"], cwd=ROOT, capture_output=True, text=True)
        return done.stdout + done.stderr
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stop:
        if program[0] == "kdpl":
            kdpl([*program[1:], "--help"])
        elif program[0] == "train.py":
            importlib.import_module("train").parse(["--help"])
        else:
            with mock.patch("sys.argv", [*program, "--help"]):
                main = _main_of(program[0])
                main([*program[1:], "--help"]) if inspect.signature(main).parameters else main()
    assert stop.value.code == 0
    return out.getvalue()


def _main_of(module: str):
    try:
        return importlib.import_module(f"{module}.__main__").main
    except ModuleNotFoundError:
        return importlib.import_module(module).main


@pytest.mark.parametrize("command", DOCUMENTED)
def test_every_documented_command_exists_with_its_flags_and_files(command, help_of):
    words = without_environment(command)
    if not words or words[0] in SYSTEM:
        return
    if words[0] == "python" and words[1] == "-c":
        compile(words[2], "documented", "exec")
        return
    if words[0] == "kdpl" or words[:3] == ["python", "-m", "kdpl"]:
        rest = words[1:] if words[0] == "kdpl" else words[3:]
        program = ("kdpl", rest[0]) if rest and not rest[0].startswith("-") and rest[0] != "..." else ("kdpl",)
    elif words[:2] == ["python", "-m"]:
        rest = words[3:]
        if words[2] == "tests.parity":
            return  # tests/test_parity.py runs it
        from tools.sweep.experiment import EXPERIMENTS

        sub = words[2] == "tools.sweep" and rest and rest[0] in EXPERIMENTS
        sub = sub or (words[2] == "tools.data" and rest and not rest[0].startswith("-"))
        program = (words[2], rest[0]) if sub else (words[2],)
    elif words[:2] == ["python", "train.py"]:
        program, rest = ("train.py",), words[2:]
    else:
        assert words[0] == "bash", f"{command}: no test knows how to check it"
        assert (ROOT / words[1]).is_file(), words[1]
        program, rest = ("bash", words[1]), words[2:]
        if words[1] in ("scripts/test.sh", "scripts/soak.sh"):
            return  # it is what runs this
    flags = [word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)]
    if flags and program[0] != "bash":
        text = help_of(*program)
        missing = [flag for flag in flags if not re.search(rf"{re.escape(flag)}\b", text)]
        assert not missing, f"{command}: {missing} are not in the help of {program}"
    elif program[0] != "bash":
        help_of(*program)
    for word in rest:
        if re.match(r"(configs|tests|assets)/\S+\.\w+$", word):
            assert (ROOT / word).is_file(), f"{command}: there is no {word}"


def test_the_documented_sweeps_can_be_planned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    files = {word for command in DOCUMENTED for word in command.split() if word.startswith("configs/sweeps/")}
    for file in sorted(files - {"configs/sweeps/paper_base2new.yaml"}):  # its 700 runs take a quarter of a minute
        assert sweep([file, "--dry-run", "--root", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    assert "missing" in capsys.readouterr().out


def test_the_documentation_builds_without_warnings_and_is_current(tmp_path, capsys):
    pytest.importorskip("mkdocs", reason="needs mkdocs-material: pip install -r requirements-dev.txt")
    assert docs.main(["--site", str(tmp_path / "site")]) == 0, capsys.readouterr().out
    assert (tmp_path / "site" / "verification" / "index.html").is_file()


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "README.md").write_text("[there](docs/there.md) and [a page](https://example.org) and [up](#up)")
    assert docs.broken_links(tmp_path) == ["README.md: the link to docs/there.md is broken"]
