"""`import compat` makes torchvision importable and finds a Dassl."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent

needs_register_fake = pytest.mark.skipif(
    not hasattr(torch.library, "register_fake"), reason="this torch calls the function differently"
)


def run_python(code: str, *first_on_path: Path) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that finds the repository, after the folders given."""
    paths = [*map(str, first_on_path), str(ROOT)]
    code = f"import sys; sys.path[:0] = {paths!r}\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_torchvision_imports_and_transforms_after_compat():
    run = run_python(
        "import compat\n"
        "from torchvision.transforms import Resize\n"
        "from PIL import Image\n"
        "print(Resize(8)(Image.new('RGB', (32, 16))).size)"
    )
    assert run.stdout == "(16, 8)\n", run.stderr


def test_compat_prints_nothing_and_leaves_torch_as_it_was():
    run = run_python(
        "import torch, torch._custom_ops\n"
        "before = {name: getattr(module, name, None) for module in (torch.library, torch._custom_ops)\n"
        "          for name in ('register_fake', 'impl_abstract')}\n"
        "import compat\n"
        "after = {name: getattr(module, name, None) for module in (torch.library, torch._custom_ops)\n"
        "         for name in ('register_fake', 'impl_abstract')}\n"
        "assert before == after, (before, after)"
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_torchvision_broken_in_another_way_fails_as_usual_and_torch_is_restored(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('some other defect')")
    run = run_python(
        "import torch\n"
        "before = getattr(torch.library, 'register_fake', None)\n"
        "try:\n"
        "    import compat\n"
        "except RuntimeError as error:\n"
        "    print(error, getattr(torch.library, 'register_fake', None) is before)",
        tmp_path,
    )
    assert run.stdout == "some other defect True\n", run.stderr


@needs_register_fake
def test_only_absent_torchvision_operators_are_tolerated(tmp_path):
    """A stand-in for torchvision describes operators: present or absent, its own or another's."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "import torch\n"
        "library = torch.library.Library('torchvision', 'DEF')\n"
        "library.define('double(Tensor x) -> Tensor')\n"
        "@torch.library.register_fake('torchvision::double')\n"
        "def double(x):\n"
        "    return x.new_empty(len(x) * 2)\n"
        "@torch.library.register_fake('torchvision::absent')\n"
        "def absent(x):\n"
        "    return x\n"
        "try:\n"
        "    torch.library.register_fake('another::absent')(absent)\n"
        "    print('tolerated')\n"
        "except RuntimeError:\n"
        "    print('refused')\n"
    )
    run = run_python(
        "import compat, torch, torchvision\n"
        "print(torch.ops.torchvision.double(torch.empty(3, device='meta')).shape)\n"
        "print(torchvision.absent(5))",
        tmp_path,
    )
    assert run.stdout == "refused\ntorch.Size([6])\n5\n", run.stderr


def test_an_installed_dassl_is_used_instead_of_ours(tmp_path):
    (tmp_path / "dassl").mkdir()
    (tmp_path / "dassl" / "__init__.py").write_text("whose = 'installed'")
    run = run_python("import compat, dassl; print(dassl.whose)", tmp_path)
    assert run.stdout == "installed\n", run.stderr


def test_importing_compat_again_does_not_grow_the_path():
    run = run_python(
        "import compat, importlib, sys\n"
        "before = list(sys.path)\n"
        "importlib.reload(compat)\n"
        "assert sys.path == before\n"
        "import dassl; print(dassl.__file__)"
    )
    assert run.returncode == 0, run.stderr
