"""scripts/env.sh in a small repository that requires stand-ins for torch and pytest, from a local folder."""

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from .conftest import ROOT

PRINT_PYTHON = 'set -euo pipefail; source "$0/scripts/env.sh"; echo "$PYTHON"'
STAND_IN = """
__version__ = "2.99"
def get_num_threads(): return 7
class cuda:
    def is_available(): return False
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """A folder with wheels of the stand-ins."""
    folder = tmp_path_factory.mktemp("packages")
    for name, content in {"torch": STAND_IN, "pytest": ""}.items():
        info = f"{name}-2.99.dist-info"
        with zipfile.ZipFile(folder / f"{name}-2.99-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", content)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.99\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, packages) -> Path:
    """A repository with a complete .venv; in a folder with a space in its name, called from elsewhere."""
    root = make_repository(tmp_path_factory.mktemp("repository") / "with space")
    result = source(root, packages)
    assert result.returncode == 0, result.stderr
    assert "Creating" in result.stderr
    assert "Python 3." in result.stderr and "torch 2.99, no GPU, CPU with 7 threads" in result.stderr
    return root


@pytest.fixture
def repository(tmp_path, finished) -> Path:
    """A copy of the finished repository, to be damaged; environments survive being copied."""
    shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def make_repository(root: Path) -> Path:
    (root / "scripts").mkdir(parents=True)
    for name in ("env.sh", "environment.py", "kdpl_command.py"):
        shutil.copy(ROOT / "scripts" / name, root / "scripts")
    (root / "kdpl").mkdir()
    (root / "kdpl" / "__main__.py").write_text("def main(): print('kdpl of', __file__)")
    (root / "requirements.txt").write_text("torch>=2.1\n")
    (root / "requirements-dev.txt").write_text("pytest>=2.1\n")
    return root


def environment(packages: Path, **more: str) -> dict[str, str]:
    """Without a network: packages come from the folder alone."""
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "KDPL_", "test_tools"))}
    return {**clean, **pip, **more}


def source(root: Path, packages: Path, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", PRINT_PYTHON, str(root)], env=environment(packages, **more), capture_output=True, text=True
    )


def imports(package: str, python: Path) -> bool:
    return subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode == 0


def imports_torch(python: Path) -> bool:
    return imports("torch", python)


def test_a_complete_environment_is_taken_as_it_is_within_a_second(finished, packages):
    before = sorted((finished / ".venv").rglob("*"))
    start = time.monotonic()
    result = source(finished, packages, PIP_FIND_LINKS="/nowhere")
    assert time.monotonic() - start < 1
    assert result.stdout == f"{finished}/.venv/bin/python\n"
    assert "torch 2.99" in result.stderr and "Creating" not in result.stderr
    assert sorted((finished / ".venv").rglob("*")) == before


def test_the_environment_has_the_command_of_its_clone(finished, tmp_path):
    activated = f'source "{finished}/.venv/bin/activate" && kdpl'
    said = subprocess.run(["bash", "-c", activated], cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout == f"kdpl of {finished}/kdpl/__main__.py\n", said.stderr


def test_an_installation_that_was_killed_is_mended_by_the_next_script(tmp_path, packages):
    root = make_repository(tmp_path / "repository")
    process = subprocess.Popen(
        ["bash", "-c", PRINT_PYTHON, str(root)],
        env=environment(packages),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not (root / ".venv" / "kdpl-stamp").exists():
        time.sleep(0.01)
    assert process.poll() is None  # pip is running
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    result = source(root, packages)
    assert result.returncode == 0, result.stderr
    assert "Creating" in result.stderr
    assert imports_torch(root / ".venv" / "bin" / "python")


def test_a_deleted_interpreter_is_replaced(repository, packages):
    for link in (repository / ".venv" / "bin").glob("python*"):
        link.unlink()
    result = source(repository, packages)
    assert result.returncode == 0, result.stderr
    assert imports_torch(repository / ".venv" / "bin" / "python")


def test_a_deleted_package_is_noticed_and_replaced(repository, packages):
    next(repository.glob(".venv/lib/*/site-packages/torch.py")).unlink()
    result = source(repository, packages)
    assert result.returncode == 0, result.stderr
    assert "torch (ModuleNotFoundError: No module named 'torch')" in result.stderr
    assert imports_torch(repository / ".venv" / "bin" / "python")


def test_changed_requirements_are_installed_into_what_is_there(repository, packages):
    mine = repository / ".venv" / "mine"
    mine.touch()
    (repository / "requirements.txt").write_text("torch>=2.2\n")
    result = source(repository, packages)
    assert result.returncode == 0, result.stderr
    assert "Requirement already satisfied: torch>=2.2" in result.stderr and mine.exists()
    assert "Requirement" not in source(repository, packages).stderr


def test_test_tools_are_added_to_the_environment_for_training_which_stays_complete(repository, packages):
    python, mine = repository / ".venv" / "bin" / "python", repository / ".venv" / "mine"
    mine.touch()
    assert not imports("pytest", python)
    added = source(repository, packages, test_tools="yes")
    assert added.returncode == 0 and imports("pytest", python) and mine.exists(), added.stderr
    for test_tools in ("", "yes", ""):
        result = source(repository, packages, test_tools=test_tools, PIP_FIND_LINKS="/nowhere")
        assert result.returncode == 0 and "Requirement" not in result.stderr, result.stderr


def test_changed_test_tools_are_installed_by_the_tests(repository, packages):
    assert source(repository, packages, test_tools="yes").returncode == 0
    (repository / "requirements-dev.txt").write_text("pytest>=2.2\n")
    result = source(repository, packages, test_tools="yes")
    assert result.returncode == 0 and "Requirement already satisfied: pytest>=2.2" in result.stderr


def test_test_tools_that_cannot_be_fetched_leave_the_environment_for_training_as_it_was(repository, packages):
    result = source(repository, packages, test_tools="yes", PIP_FIND_LINKS="/nowhere")
    assert result.returncode == 1 and "pip could not fetch packages" in result.stderr
    result = source(repository, packages, PIP_FIND_LINKS="/nowhere")
    assert result.returncode == 0 and "Creating" not in result.stderr and "Requirement" not in result.stderr


def test_two_scripts_that_start_together_make_one_environment(tmp_path, packages):
    root = make_repository(tmp_path / "repository")
    started = [
        subprocess.Popen(
            ["bash", "-c", PRINT_PYTHON, str(root)], env=environment(packages), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    printed = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], printed
    assert sorted("Creating" in text for text in printed) == [False, True]
    assert all("torch 2.99" in text for text in printed)


def test_without_packages_the_error_says_what_can_be_done(repository, packages):
    (repository / "requirements.txt").write_text("torch>=2.1\ntabulate\n")
    result = source(repository, packages)
    assert result.returncode == 1 and result.stdout == ""
    assert "pip could not fetch packages" in result.stderr and "KDPL_PYTHON" in result.stderr


def test_a_users_own_python_is_checked_and_nothing_is_installed(tmp_path, finished, packages):
    root = make_repository(tmp_path / "repository")
    own = str(finished / ".venv" / "bin" / "python")
    for _ in range(2):  # the second time from memory
        result = source(root, packages, KDPL_PYTHON=own)
        assert result.returncode == 0 and result.stdout == f"{own}\n", result.stderr
        assert "torch 2.99" in result.stderr
    assert not (root / ".venv").exists()


def test_what_a_users_own_python_lacks_is_named(tmp_path, finished, packages):
    root = make_repository(tmp_path / "repository")
    (root / "requirements.txt").write_text("torch>=2.1\nclip-anytorch\ntorchmetrics # not there\n")
    result = source(root, packages, KDPL_PYTHON=str(finished / ".venv" / "bin" / "python"))
    assert result.returncode == 1 and result.stdout == ""
    assert "  clip-anytorch (ModuleNotFoundError: No module named 'clip')" in result.stderr
    assert "  torchmetrics (ModuleNotFoundError" in result.stderr and "  torch (" not in result.stderr
    assert "Traceback" not in result.stderr and not (root / ".venv").exists()


def test_a_users_own_python_needs_the_test_tools_only_for_tests(tmp_path, finished, packages):
    root = make_repository(tmp_path / "repository")
    own = str(finished / ".venv" / "bin" / "python")
    assert source(root, packages, KDPL_PYTHON=own).returncode == 0
    result = source(root, packages, KDPL_PYTHON=own, test_tools="yes")
    assert result.returncode == 1 and "  pytest (ModuleNotFoundError" in result.stderr
    assert f'-r "{root}/requirements.txt" -r "{root}/requirements-dev.txt"' in result.stderr


def test_clip_counts_as_installed_where_setuptools_has_no_pkg_resources(tmp_path, packages):
    root = make_repository(tmp_path / "repository")
    (root / "requirements.txt").write_text("torch\ntorchvision\nclip-anytorch\n")
    shutil.copy(ROOT / "kdpl" / "import_guards.py", root / "kdpl")
    (tmp_path / "pkg_resources.py").write_text("raise ImportError('dropped')")
    result = source(root, packages, KDPL_PYTHON=sys.executable, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0 and "torch" in result.stderr, result.stderr


@pytest.mark.parametrize("own, reason", [("/no/such/python", "not a program"), ("/bin/ls", "not Python 3.10 or newer")])
def test_anything_but_a_python_is_refused(tmp_path, packages, own, reason):
    result = source(make_repository(tmp_path / "repository"), packages, KDPL_PYTHON=own)
    assert result.returncode == 1 and reason in result.stderr


@pytest.fixture
def tools_without_python(tmp_path) -> Path:
    """A folder for PATH with what env.sh calls, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "dirname", "head", "uname", "df", "awk", "grep", "rm", "mv"):
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


def test_without_python_the_error_says_what_to_install(tmp_path, packages, tools_without_python):
    root = make_repository(tmp_path / "repository")
    result = source(root, packages, PATH=str(tools_without_python))
    assert result.returncode == 1
    assert "There is no python3 at all." in result.stderr and "apt install python3 python3-venv" in result.stderr


def test_a_python_that_is_too_old_is_named_with_its_version(tmp_path, packages, tools_without_python):
    root = make_repository(tmp_path / "repository")
    stub(tools_without_python / "python3", 'if [ "$1" = --version ]; then echo Python 3.8.2; else exit 1; fi')
    result = source(root, packages, PATH=str(tools_without_python))
    assert result.returncode == 1 and "python3 is Python 3.8.2." in result.stderr


def test_a_python_without_ensurepip_is_reported_with_the_package_that_has_it(tmp_path, packages, tools_without_python):
    root = make_repository(tmp_path / "repository")
    stub(tools_without_python / "python3", f'case "$*" in *ensurepip*) exit 1;; *) exec {sys.executable} "$@";; esac')
    result = source(root, packages, PATH=str(tools_without_python))
    assert result.returncode == 1 and "apt install python3-venv" in result.stderr


def test_a_full_disk_is_reported(repository, packages):
    """A stand-in for pip fails as the real one does on a full disk, with the same words."""
    no_space = "[Errno 28] No space left on device"
    stub(repository / "pip", f'while [ "$1" != --log ]; do shift; done; echo "{no_space}" > "$2"')
    python = repository / ".venv" / "bin" / "python"
    real = python.resolve()
    python.unlink()
    stub(python, f'case "$*" in *"--log"*) bash "{repository}/pip" "$@"; exit 1;; *) exec {real} "$@";; esac')
    (repository / "requirements.txt").write_text("torch>=2.2\n")
    result = source(repository, packages)
    assert result.returncode == 1
    assert "The disk is full" in result.stderr and "GB are free" in result.stderr


def stub(path: Path, script: str) -> None:
    path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
    path.chmod(0o755)
