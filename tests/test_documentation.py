"""README, docs/ and the other pages: they build, link to what exists, and show commands that work."""

import contextlib
import functools
import io
import json
import re
import shlex

import pytest

import kdpl
from tools import docs

from . import documented_commands as documented
from .conftest import ROOT
from .result_files import write_record
from .tiny_datasets import tiny_split, write_jpeg

COMMANDS = sorted({command for page in documented.PAGES for command in documented.commands(page)})
MENTIONS = sorted({command for page in documented.PAGES for command in documented.mentions(page)} - {*COMMANDS})
BIRDS = ("sparrow", "robin")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with everything that the pages name: photos, prompts, results, datasets and a checkout."""
    here = tmp_path_factory.mktemp("documented")
    for name in ("configs", "assets", "scripts"):
        (here / name).symlink_to(ROOT / name)
    for folder in ("photos", "more_photos", *(f"labelled_photos/{bird}" for bird in BIRDS)):
        for i in range(3):
            write_jpeg(here / folder / f"{i}.jpg", i, (64, 64))
    photo = write_jpeg(here / "photo.jpg", size=(64, 64))
    documented.write_archive(here / "shard-000.tar", photo)
    documented.write_archive(here / "shard-001.tar", photo)
    for names in ("names.txt", "photos/classnames.txt"):
        (here / names).write_text("\n".join(BIRDS))
    split = tiny_split(n_classes=4)
    for n, (path, *_) in enumerate(split["train"] + split["val"] + split["test"]):
        write_jpeg(here / "data" / "dtd" / "images" / path, n)
    (here / "data" / "dtd" / "split_zhou_DescribableTextures.json").write_text(json.dumps(split))
    for output in (here / "output", here / "home" / "CoOp" / "output"):
        write_record(output / "seed1", scores={("Shapes", "all"): (1, 2)})
    with contextlib.redirect_stdout(io.StringIO()):
        learn = f"train {here}/photos --classnames {here}/names.txt --epochs 1 {documented.DEMO_PAIR} --output"
        prompts, birds = here / "prompts.safetensors", here / "birds.safetensors"
        assert documented.kdpl([*learn.split(), str(birds), "--cache", str(here / "features")]) == 0
        prompts.write_bytes(birds.read_bytes())
        assert documented.kdpl(["convert", str(prompts), str(here / "model.pth.tar-50")]) == 0
    return here


@pytest.fixture
def there(here, monkeypatch):
    """The same as the current folder, with a home folder of its own."""
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here / "home"))
    return here


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_a_block_runs(command, there):
    way = documented.how(command)
    if isinstance(way, documented.Foreign):
        return
    if isinstance(way, documented.Run):
        assert documented.run(documented.words_of(command, way.more)) in (0, None)
        return
    if isinstance(way, documented.Elsewhere):
        assert (ROOT / "tests" / way.file).is_file(), way.file
    words = documented.words_of(command)
    documented.parse(words)
    for word in words:
        assert not re.match(r"(configs|tests|assets)/", word) or (ROOT / word).is_file(), f"there is no {word}"


@pytest.mark.parametrize("command", MENTIONS)
def test_every_command_within_a_sentence_exists_with_its_flags(command, capsys):
    words = shlex.split(documented.without_environment(command))
    flags = [word for word in words if re.match(r"--[a-z]", word)]
    names = words[: 2 if words[0] in ("kdpl", "bash") else 3]
    with contextlib.suppress(SystemExit):
        documented.run([*names, "--help"])
    text = capsys.readouterr().out
    assert "usage: " in text and all(re.search(rf"{flag}\b", text) for flag in flags)


def test_python_of_the_pages_runs(there, monkeypatch, capsys):
    demo = functools.partial(kdpl.distill, student="demo:student", teacher="demo:teacher", epochs=1, device="cpu")
    monkeypatch.setattr(kdpl, "distill", demo)
    monkeypatch.setattr(kdpl.Classifier, "export", lambda *_, **__: None)  # test_export.py exports
    for page in documented.PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if not re.search("push_to_hub|^Method", block):  # test_hub.py and test_contributing.py run these
                exec(block, {"kdpl": kdpl, "classifier": kdpl.load("birds.safetensors"), "images": ["photo.jpg"]})


def test_the_documentation_builds_without_warnings_and_is_current(tmp_path, capsys):
    pytest.importorskip("mkdocs", reason="needs mkdocs-material: pip install -r requirements-dev.txt")
    assert docs.main(["--site", str(tmp_path / "site")]) == 0, capsys.readouterr().out
    assert (tmp_path / "site" / "verification" / "index.html").is_file()


def test_a_broken_link_is_named(tmp_path):
    (tmp_path / "README.md").write_text("[there](docs/there.md) and [a page](https://example.org) and [up](#up)")
    assert docs.broken_links(tmp_path) == ["README.md: the link to docs/there.md is broken"]


def test_a_warning_of_the_build_fails_it(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mkdocs", reason="needs mkdocs-material: pip install -r requirements-dev.txt")
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text("site_name: KDPL\nnav: [methods.md, gone.md]\n")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    assert docs.main(["--write", "--site", str(tmp_path / "site")]) == 1
    assert "gone.md" in capsys.readouterr().out
