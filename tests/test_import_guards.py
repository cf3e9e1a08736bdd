"""`import_clip` works with any setuptools or none, and leaves no trace except the module clip."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from kdpl.import_guards import import_clip

ROOT = Path(__file__).parents[1]
CLIP = "from pkg_resources import packaging\nassert packaging.version.parse('2.0') < packaging.version.parse('2.1')\n"


class Hidden:
    """A finder that comes first and claims that these packages do not exist."""

    def __init__(self, *packages: str):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder whose packages come first, among them a clip like that of a CoOp checkout; nothing is imported yet."""
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "__init__.py").write_text("from .clip import *\n")
    (tmp_path / "clip" / "clip.py").write_text(CLIP)
    monkeypatch.syspath_prepend(tmp_path)
    before = {name: module for name, module in sys.modules.items() if is_concerned(name)}
    for name in before:
        del sys.modules[name]
    yield tmp_path
    for name in [name for name in sys.modules if is_concerned(name)]:
        del sys.modules[name]
    sys.modules.update(before)


def is_concerned(module: str) -> bool:
    return module.partition(".")[0] in ("clip", "packaging", "pkg_resources")


def hide(monkeypatch, *packages: str) -> None:
    monkeypatch.setattr(sys, "meta_path", [Hidden(*packages), *sys.meta_path])


def write_pkg_resources(site: Path, content: str) -> None:
    (site / "pkg_resources.py").write_text(content)


def test_the_installed_clip_works_without_setuptools_and_is_one_module():
    """In a separate process with warnings as errors, because clip may already be imported here."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{WITHOUT}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout == "77 tokens, one module\n", run.stderr


WITHOUT = """
from tests.test_import_guards import Hidden

sys.meta_path.insert(0, Hidden("pkg_resources", "setuptools"))
from kdpl.import_guards import import_clip

package = import_clip()
assert "pkg_resources" not in sys.modules
from clip import clip  # as CoOp's trainers do

assert clip is sys.modules["clip.clip"] and clip.tokenize is package.tokenize and import_clip() is package
print(clip.tokenize("a photo").shape[1], "tokens, one module")
"""


@pytest.mark.parametrize(
    "content",
    [
        "",  # setuptools 70.0
        "raise AttributeError('pkgutil has no ImpImporter')",  # setuptools before 66 with Python 3.12
        "import warnings; warnings.warn('pkg_resources is deprecated', UserWarning)",
    ],
    ids=["without packaging", "broken", "deprecated"],
)
def test_clip_imports_beside_any_pkg_resources_and_silently(site, content, recwarn):
    write_pkg_resources(site, content)
    assert import_clip().__file__ == f"{site}/clip/__init__.py"
    assert "pkg_resources" not in sys.modules and not recwarn.list


def test_a_pkg_resources_imported_earlier_stays_as_it_was(site):
    write_pkg_resources(site, "")
    earlier = importlib.import_module("pkg_resources")
    import_clip()
    assert sys.modules["pkg_resources"] is earlier and not hasattr(earlier, "packaging")


def test_where_packaging_is_missing_the_copy_of_setuptools_is_used(site, monkeypatch):
    write_pkg_resources(site, "class packaging:\n    class version:\n        parse = str\n")
    hide(monkeypatch, "packaging")
    import_clip()
    assert sys.modules["pkg_resources"].__file__ == f"{site}/pkg_resources.py"


def test_a_clip_that_fails_for_another_reason_says_why_and_no_stand_in_is_left(site, monkeypatch):
    (site / "clip" / "clip.py").write_text(f"{CLIP}import no_such_module\n")
    hide(monkeypatch, "pkg_resources")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        import_clip()
    assert "pkg_resources" not in sys.modules and "clip" not in sys.modules


@pytest.mark.parametrize("theirs_first", [True, False])
def test_from_clip_import_clip_gives_the_same_module_before_and_after(site, monkeypatch, theirs_first):
    if theirs_first:  # a clip of the kind that needs no pkg_resources
        (site / "clip" / "clip.py").write_text("")
        theirs = importlib.import_module("clip.clip")
        assert import_clip().clip is theirs
    else:
        hide(monkeypatch, "pkg_resources")
        package = import_clip()
        assert importlib.import_module("clip.clip") is package.clip
