"""The commands that README, DATASETS.md, CONTRIBUTING.md and docs/ show, and how the tests run each of them."""

import contextlib
import importlib
import inspect
import os
import re
import shlex
import tarfile
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from kdpl.__main__ import main as kdpl
from tools import docs

from .conftest import ROOT

PAGES = [*(ROOT / name for name in docs.PAGES), *sorted((ROOT / "docs").glob("*.md"))]
DEMO_PAIR = "--student demo:student --teacher demo:teacher --device cpu"
DEMO_CFG = (
    "MODEL.BACKBONE.NAME demo:student TRAINER.KDPL.TEACHER demo:teacher INPUT.SIZE (64,64) OPTIM.MAX_EPOCH 1 "
    "DATALOADER.NUM_WORKERS 0 DATALOADER.TRAIN_X.BATCH_SIZE 4"
)


@dataclass(frozen=True)
class Run:
    """Run in this process, on the demo; ``more`` is added at the end."""

    more: str = ""


@dataclass(frozen=True)
class Parse:
    """Only parse, with the command's own parser; ``why`` is what a test machine lacks."""

    why: str


@dataclass(frozen=True)
class Elsewhere:
    """Parse; the tests in ``file`` run it, or what it does."""

    file: str


@dataclass(frozen=True)
class Foreign:
    """A command of another program."""

    why: str = "it is not ours"


How = Run | Parse | Elsewhere | Foreign
HOURS, NETWORK, CARD = "it takes minutes to hours", "it downloads, or needs what was downloaded", "it needs a GPU"

# The first pattern that matches the beginning of a command decides.
HOW: list[tuple[str, How]] = [
    (r"(kdpl|bash scripts/kdpl/).* IVLP", Elsewhere("test_contributing.py")),
    (r"kdpl train \S+ .*--plan", Run(DEMO_PAIR)),
    (r"kdpl train ", Run(f"{DEMO_PAIR} --epochs 1")),
    (r"kdpl (predict|evaluate|words|show|models|cache) ?", Run()),
    (r"kdpl export \S+ \S+\.(onnx|pt2)", Elsewhere("test_export.py")),
    (r"kdpl (export|convert) ", Run()),
    (r"kdpl (fetch|verify .*--fetch|verify .*--models)", Parse(NETWORK)),
    (r"kdpl verify", Elsewhere("test_verification.py")),
    (r"kdpl doctor --gpu", Parse(CARD)),
    (r"python train\.py ", Run(DEMO_CFG)),
    (r"python -m tools\.data get", Parse(NETWORK)),
    (r"python -m tools\.data ", Elsewhere("test_data_tool.py")),
    (r"python -m tools\.sweep .*--plan", Elsewhere("test_planning.py")),
    (r"python -m tools\.sweep configs/sweeps/paper", Elsewhere("test_sweep.py")),
    (r"python -m tools\.sweep .*demo_base2new", Run("--dry-run")),
    (r"python -m tools\.sweep (?!.*--dry-run)", Parse("it takes minutes; --dry-run stands in for it")),
    (r"python -m tools\.sweep ", Run()),
    (r"bash scripts/kdpl/\w+\.sh ", Elsewhere("test_base2new.py")),
    (r"python -m tools\.tables", Run()),
    (r"python -m tools\.reproduce", Elsewhere("test_reproduce.py")),
    (r"python -m tools\.verify .*--level [23]", Elsewhere("test_verify_tool.py")),
    (r"python -m tools\.verify", Elsewhere("test_verification.py")),
    (r"python -m tools\.docs", Elsewhere("test_documentation.py")),
    (r"python -m tools\.doctor", Elsewhere("test_doctor.py")),
    (r"python -m tests\.parity", Elsewhere("test_parity.py")),
    (r"python -m tools\.(benchmark|models|pretrain_demo|soak\.)", Parse(HOURS)),
    (r"bash scripts/install_into_coop\.sh .*--smoke-test", Elsewhere("test_drop_in_smoke_test.py")),
    (r"bash scripts/install_into_coop\.sh", Elsewhere("test_install_into_coop.py")),
    (r"bash scripts/(test|soak)\.sh", Foreign("it runs these tests, or an hour of others")),
    (r"(pip|pre-commit|git|cd|cp|export|source|python3 -m venv|sed) ", Foreign()),
]


def commands(page: Path) -> Iterator[str]:
    """The command lines of a page's blocks of shell, without comments."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, re.DOTALL):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            if not re.match(r"\s*(#|$)", line):
                yield from (part.strip() for part in re.split(r"\s#", line)[0].split("&&"))


def mentions(page: Path) -> Iterator[str]:
    """Our commands within sentences and tables."""
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"`((?:python -m tools\.|python train\.py|kdpl |bash scripts/)[^`]*)`", text)


def how(command: str) -> How:
    """What the tests do with a command."""
    found = next((how for pattern, how in HOW if re.match(pattern, without_environment(command))), None)
    assert found, f"{command}: say in tests/documented_commands.py how the tests run it"
    return found


def without_environment(command: str) -> str:
    """The command after assignments such as DATA=data, with ``kdpl`` for ``python -m kdpl``."""
    command = re.sub(r"^(\w+=\S+ )+", "", command)
    return re.sub(r"^python -m kdpl\b", "kdpl", command)


def words_of(command: str, more: str = "") -> list[str]:
    """The words of a command on the demo: ``...`` is left out and the default student is the demo's."""
    words = [*shlex.split(without_environment(command)), *shlex.split(more)]
    stand_ins = {"ViT-B/16": "demo:student"}
    return [stand_ins.get(word, os.path.expanduser(word)) for word in words]


def run(words: list[str]) -> int | None:
    """Run one of our commands in this process; the exit code."""
    program, *arguments = words
    if program == "kdpl":
        return kdpl(arguments)
    if program == "bash":
        script = Path(arguments[0])
        assert (ROOT / script).is_file(), f"there is no {script}"
        if script.parent.name == "kdpl":  # what common.sh makes of it
            return _call("tools.sweep.__main__", [script.stem, *arguments[1:]])
        return _call("scripts.install_into_coop", arguments[1:])
    if arguments[0] == "-m":
        name = arguments[1]
        package = importlib.util.find_spec(name).submodule_search_locations
        return _call(f"{name}.__main__" if package else name, arguments[2:])
    return _call("train", arguments[1:])


def _call(module: str, arguments: list[str]) -> int | None:
    if module == "scripts.install_into_coop":
        with mock.patch("sys.path", [str(ROOT / "scripts"), *__import__("sys").path]):
            main = importlib.import_module("install_into_coop").main
    else:
        main = importlib.import_module(module).main
    with mock.patch("sys.argv", [module, *arguments]):
        return main(arguments) if inspect.signature(main).parameters else main()


class Parsed(Exception):
    """The command line is right."""


def parse(words: list[str]) -> None:
    """Parse a command line with its own parser, and do nothing else."""
    parse_args = ArgumentParser.parse_args

    def only_parse(parser: ArgumentParser, *arguments, **options):
        parse_args(parser, *arguments, **options)
        raise Parsed

    with mock.patch.object(ArgumentParser, "parse_args", only_parse), contextlib.suppress(Parsed):
        run(words)
        raise AssertionError(f"{words} has no parser")


def write_archive(path: Path, *images: Path) -> None:
    """A tar shard of images."""
    with tarfile.open(path, "w") as shard:
        for image in images:
            shard.add(image, image.name)
