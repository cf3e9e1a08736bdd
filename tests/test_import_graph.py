"""Imports point downwards and form no cycles; functions and files stay short."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

from kdpl.methods import METHODS

from .conftest import ROOT

# What each part may import besides itself; tests may import anything.
BELOW = {
    "kdpl": set(),
    "compat": {"kdpl.import_guards"},
    "trainers": {"kdpl", "compat", "dassl"},
    "datasets": {"kdpl", "compat", "dassl"},
    "train": {"trainers", "datasets", "kdpl", "compat", "dassl"},
    "tools": {"train", "trainers", "datasets", "kdpl", "compat", "dassl"},
    "scripts": {"tools", "train", "trainers", "datasets", "kdpl", "compat", "dassl"},
}
FILES = [file for part in BELOW for file in (ROOT / part).rglob("*.py")] + [ROOT / "train.py"]
TWELVE = {f"{method.lower()}{ending}.py" for method in METHODS for ending in ("", "_kdpl")}
LONGEST_FUNCTION, LONGEST_FILE, MOST_LINES_OF_TRAINERS = 60, 300, 900


def module_of(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name.removeprefix("compat.") if name.startswith("compat.dassl") else name


MODULES = {module_of(file): file for file in FILES}


@cache
def imports_of(module: str) -> frozenset[str]:
    """The names that a module imports anywhere in its source, also within functions; our own as modules."""
    file = MODULES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return frozenset(found)


def test_imports_point_downwards():
    upwards = set()
    for module in MODULES:
        part = module.partition(".")[0]
        allowed = BELOW["compat" if part == "dassl" else part] | {part}
        for name in imports_of(module):
            if name.partition(".")[0] in {*BELOW, "dassl"} and not {name, name.partition(".")[0]} & allowed:
                upwards.add((module, name))
    assert upwards == set()


def test_the_library_knows_neither_dassl_nor_yacs():
    library = [module for module in MODULES if module.partition(".")[0] == "kdpl"]
    imported = {name.partition(".")[0] for module in library for name in imports_of(module)}
    assert not imported & {"dassl", "yacs", "trainers", "datasets", "tools", "compat"}


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: {name for name in imports_of(module) if name in MODULES} - {module} for module in MODULES}
    while free := {module for module, names in graph.items() if not names & graph.keys()}:
        graph = {module: names for module, names in graph.items() if module not in free}
    assert not graph


def test_importing_the_library_loads_none_of_the_others():
    code = "import sys, kdpl; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "kdpl" in loaded and not loaded & {"dassl", "yacs", "trainers", "datasets", "tools", "compat"}


def test_functions_and_files_are_short():
    long = {}
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                long[file.name, node.name] = node.end_lineno - node.lineno + 1
        if text.count("\n") > LONGEST_FILE:
            long[file.name] = text.count("\n")
    assert long == {}


def test_the_plugin_is_small():
    files = [file for file in (ROOT / "trainers").rglob("*.py") if file.name not in TWELVE | {"zeroshot.py"}]
    assert sum(file.read_text(encoding="utf-8").count("\n") for file in files) < MOST_LINES_OF_TRAINERS
