"""The wheel: the package kdpl with the demo pair and the command kdpl, and nothing else of this repository."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from kdpl.extras import PACKAGES
from kdpl.versions import __version__
from tests.tiny_datasets import write_jpeg

ROOT = Path(__file__).parents[1]
pytest.importorskip("setuptools", minversion="77", reason='needs setuptools: pip install "setuptools>=77"')
pytest.importorskip("pip", reason="needs pip")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, because setuptools leaves a folder build/ behind and packs leftovers from older ones."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "kdpl", source / "kdpl", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in ("trainers", "datasets", "tools", "compat", "tests"):
        (source / package).mkdir()
        (source / package / "__init__.py").touch()
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"kdpl-{__version__}.dist-info/METADATA").decode())


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--no-index", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_holds_every_file_of_kdpl_and_nothing_else(wheel):
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kdpl").rglob("*") if path.is_file()}
    ours = {name for name in ours if "__pycache__" not in name and "/." not in name}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == ours
    assert {"kdpl/py.typed", "kdpl/demo/student.safetensors", "kdpl/demo/teacher.safetensors"} <= names


def test_the_wheel_brings_the_command_and_no_other_top_level_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = f"kdpl-{__version__}.dist-info"
        assert archive.read(f"{info}/top_level.txt").decode().split() == ["kdpl"]
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert entry_points == "[console_scripts]\nkdpl = kdpl.__main__:main\n"


def test_the_version_is_that_of_the_code(wheel, metadata):
    assert wheel.name == f"kdpl-{__version__}-py3-none-any.whl" and metadata["Version"] == __version__


def test_requirements_files_and_extras_name_the_same_packages(metadata):
    """The scripts install the packages of the extras, with the same bounds."""
    extras = metadata.get_all("Provides-Extra")
    assert sorted(extras) == [
        "export",
        "hub",
        "reports",
        "sweeps",
        "tables",
        "teachers",
        "tests",
        "training",
        "transformers",
    ]
    assert requirements("requirements.txt") == wanted(metadata, "", "teachers", "training", "tables")
    assert requirements("requirements-dev.txt") == wanted(metadata, "tests")
    assert requirements("requirements-cluster.txt") == wanted(metadata, "sweeps")
    for extra, packages in PACKAGES.items():
        assert set(packages.split()) == wanted(metadata, extra).keys()


def wanted(metadata: Message, *extras: str) -> dict[str, set[str]]:
    """The packages of these extras; "" is what every installation gets."""
    found = {}
    for line in metadata.get_all("Requires-Dist"):
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([\w-]+)", marker)
        if (extra[1] if extra else "") in extras:
            found.update(name_and_bounds(requirement))
    return found


def requirements(file: str) -> dict[str, set[str]]:
    found = {}
    for line in (ROOT / file).read_text().splitlines():
        if requirement := line.partition("#")[0].strip():
            found.update(name_and_bounds(requirement))
    return found


def name_and_bounds(requirement: str) -> dict[str, set[str]]:
    name, bounds = re.fullmatch(r"([\w-]+)\s*\(?([^)]*)\)?\s*", requirement).groups()
    return {name: set(bounds.replace(" ", "").split(","))}


def test_the_installed_package_works_outside_the_repository(wheel, tmp_path):
    pip("install", "--no-deps", "--no-compile", "--target", tmp_path / "site", wheel)
    assert (tmp_path / "site" / "bin" / "kdpl").is_file()
    elsewhere = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(tmp_path / "site")}}

    def python(*arguments: str) -> str:
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **elsewhere)
        assert done.returncode == 0, done.stderr
        return done.stdout

    write_jpeg(tmp_path / "photos" / "1.jpg", 1, (80, 70))
    code = (
        "import kdpl; print(kdpl.__file__, kdpl.__version__)\n"
        "demo = {'student': 'demo:student', 'teacher': 'demo:teacher', 'epochs': 1, 'progress': False}\n"
        "classifier = kdpl.distill('photos', ['red circle', 'blue square'], **demo)\n"
        "print(classifier.predict('photos/1.jpg')[0].classname)"
    )
    where, *_, predicted = python("-c", code).splitlines()
    assert where.split() == [str(tmp_path / "site/kdpl/__init__.py"), __version__]
    assert predicted in ("red circle", "blue square")
    assert python("-m", "kdpl", "--help").startswith("usage: kdpl")


def test_importing_kdpl_imports_nothing_that_is_slow_or_that_it_can_do_without():
    """torch takes a second of processor time to import, and torchvision as much again; the rest has to be cheap."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import kdpl, kdpl.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {
        "torchvision",
        "clip",
        "open_clip",
        "requests",
        "matplotlib",
        "scipy",
        "tensorboard",
        "pkg_resources",
        "onnx",
    }
    optional = {"huggingface_hub", "yacs", "tabulate", "dassl", "compat"}
    assert not (slow | optional) & set(done.stdout.split())
