"""The drop-in for a CoOp checkout: what the installer writes and removes."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.coop_checkout import HOMES, INSTALL, contents, copy_of, home, install

TRAIN = """\
import argparse
from dassl.config import get_cfg_default

import trainers.coop
import trainers.zsclip


def extend_cfg(config):
    pass


def setup_cfg(args):
    config = get_cfg_default()
    extend_cfg(config)
    config.merge_from_list(args.opts)
"""
FIRST_EDITION = """\
import trainers.kdpl.config, trainers.coop_kdpl, trainers.cocoop_kdpl, trainers.vpt_kdpl, trainers.maple_kdpl, \
trainers.promptsrc_kdpl  # KDPL"""  # the line that it wrote into train.py


@pytest.fixture
def fake(tmp_path) -> Path:
    """A folder that looks like a CoOp checkout."""
    coop = tmp_path / "CoOp"
    for name in ("trainers/__init__.py", "trainers/coop.py", "clip/clip.py", "configs/trainers/CoOp/rn50.yaml"):
        (coop / name).parent.mkdir(parents=True, exist_ok=True)
        (coop / name).write_text("# its own\n")
    (coop / "train.py").write_text(TRAIN)
    return coop


def test_without_an_option_files_are_copied_and_the_lines_shown(fake):
    before = contents(fake)
    said = install(fake)
    assert {name: content for name, content in contents(fake).items() if name in before} == before
    assert (fake / "trainers/maple_kdpl.py").read_bytes() == (ROOT / "trainers/maple_kdpl.py").read_bytes()
    assert (fake / "trainers/kdpl/config.py").is_file() and not (fake / "dassl").exists()
    assert (fake / "configs/trainers/MaPLe_KDPL").is_dir()
    assert not (fake / "compat").exists() and not (fake / "trainers/maple.py").exists()
    trainers = sorted(path.stem for path in (ROOT / "trainers").glob("*_kdpl.py"))
    modules = ", ".join(f"trainers.{name}" for name in ["kdpl.config", *trainers])
    assert f"after line 5:  import {modules}  # KDPL" in said
    assert "after line 14:  trainers.kdpl.config.extend_cfg(config)" in said


def test_the_lines_shown_are_those_that_apply_adds(fake):
    lines = install(fake).split("--apply adds them:\n")[1].splitlines()[:2]
    install(fake, "--apply")
    added = [line for line in (fake / "train.py").read_text().splitlines() if line not in TRAIN.splitlines()]
    assert [line.split(":  ")[1] for line in lines] == [line.strip() for line in added]
    compile((fake / "train.py").read_bytes(), "train.py", "exec")


def test_a_second_run_changes_nothing(fake):
    install(fake, "--apply")
    first = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in fake.rglob("*") if file.is_file()}
    assert "train.py already has the two lines" in install(fake, "--apply")
    install(fake)
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in fake.rglob("*") if file.is_file()} == first


@pytest.mark.parametrize(
    "train",
    [
        TRAIN.encode(),
        TRAIN.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + TRAIN.encode(),
        (TRAIN.split("    config.merge")[0].rstrip()).encode(),  # ends with the call, without a newline
        TRAIN.replace("import trainers.zsclip", "from trainers import (\n    zsclip,\n)").encode(),
    ],
)
def test_remove_restores_every_byte(train, fake):
    (fake / "train.py").write_bytes(train)
    (fake / "train.py").chmod(0o755)
    before, folders = contents(fake), {path for path in fake.rglob("*") if path.is_dir()}
    install(fake, "--apply")
    edited = (fake / "train.py").read_bytes()
    compile(edited, "train.py", "exec")
    assert edited.count(b"\n") == train.count(b"\n") + 2
    assert edited.count(b"\r\n") in (0, edited.count(b"\n"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(fake / "trainers")], check=True)
    install(fake, "--remove")
    assert contents(fake) == before
    assert {path for path in fake.rglob("*") if path.is_dir() and path.name != "__pycache__"} == folders
    assert (fake / "train.py").stat().st_mode & 0o777 == 0o755


def test_later_changes_to_train_py_are_kept(fake):
    install(fake, "--apply")
    (fake / "train.py").write_text((fake / "train.py").read_text() + "# a note\n")
    install(fake, "--remove")
    assert (fake / "train.py").read_text() == TRAIN + "# a note\n"


@pytest.mark.parametrize("name", ["trainers/coop_kdpl.py", "trainers/kdpl/trainer.py"])
def test_a_foreign_file_of_the_same_name_is_refused_and_kept(name, fake):
    (fake / name).parent.mkdir(exist_ok=True)
    (fake / name).write_text("# somebody else's\n")
    before = contents(fake)
    assert f"where ours would go: {name}. Nothing was written." in install(fake, "--apply", fails=True)
    install(fake, "--remove")
    assert contents(fake) == before


def test_a_file_changed_since_the_installation_is_not_lost(fake):
    install(fake, "--apply")
    changed = fake / "trainers/kdpl/trainer.py"
    changed.write_text("# an experiment\n")
    assert "other or changed files" in install(fake, fails=True)
    assert "changed since they were installed: trainers/kdpl/trainer.py" in install(fake, "--remove")
    assert changed.read_text() == "# an experiment\n" and not (fake / "trainers/kdpl/config.py").exists()
    assert (fake / "train.py").read_text() == TRAIN


def test_a_first_edition_is_replaced_and_still_removed_whole(fake):
    before = contents(fake)
    old = {
        "trainers/kdpl/config.py": b"# older\n",
        "trainers/kdpl/renamed_since.py": b"# gone\n",
        "trainers/kdpl/folder_that_went/module.py": b"# gone\n",
        "trainers/coop_kdpl.py": b"# older\n",
    }
    for name, content in old.items():
        (fake / name).parent.mkdir(parents=True, exist_ok=True)
        (fake / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in old.items()}
    (fake / "trainers/kdpl/installed.json").write_text(json.dumps(hashes))
    lines = TRAIN.splitlines()
    lines[14:14] = ["    trainers.kdpl.config.extend_cfg(config)  # KDPL"]
    lines[5:5] = [FIRST_EDITION]
    (fake / "train.py").write_text("\n".join(lines) + "\n")

    assert "in place of line 6:  import trainers.kdpl.config, " in install(fake)
    assert "in place of line 6:  import trainers.kdpl.config, " in install(fake, "--apply")
    upgraded = contents(fake)
    install(fake, "--remove")
    assert contents(fake) == before
    install(fake, "--apply")
    assert contents(fake) == upgraded


def test_a_file_of_a_first_edition_that_was_changed_is_kept(fake):
    install(fake, "--apply")
    changed = fake / "trainers/kdpl/renamed_since.py"
    changed.write_text("# an experiment\n")
    record = json.loads((fake / "trainers/kdpl/installed.json").read_text())
    record[changed.relative_to(fake).as_posix()] = hashlib.sha256(b"# as it was installed\n").hexdigest()
    (fake / "trainers/kdpl/installed.json").write_text(json.dumps(record))
    assert "Kept, because they were changed since they were installed: trainers/kdpl/renamed_since.py" in install(fake)
    install(fake, "--remove")
    assert changed.read_text() == "# an experiment\n"


@pytest.mark.parametrize("name", ["kdpl/__init__.py", "kdpl/other.py", "kdpl.py"])
def test_a_package_of_our_name_is_refused(name, fake):
    (fake / name).parent.mkdir(exist_ok=True)
    (fake / name).write_text("# somebody else's\n")
    before = contents(fake)
    assert f"where ours would go: {name}. Nothing was written." in install(fake, "--apply", fails=True)
    assert contents(fake) == before


def test_an_interrupted_installation_is_finished_by_the_next(fake):
    install(fake)
    complete = contents(fake)
    (fake / "trainers/kdpl/installed.json").unlink()  # written last
    (fake / "trainers/vpt_kdpl.py").unlink()
    install(fake)
    assert contents(fake) == complete


def test_a_train_py_without_a_place_for_the_lines_is_left_alone(fake):
    (fake / "train.py").write_text("import argparse\n")
    before = contents(fake)
    assert "add the lines by hand" in install(fake, "--apply", fails=True)
    assert contents(fake) == before
    assert "among the imports:" in install(fake)


def test_a_folder_that_is_not_a_checkout_is_refused(tmp_path):
    said = install(tmp_path, fails=True)
    assert "is not a CoOp checkout: it has no train.py, no trainers/coop.py" in said and "Looked for" in said


def test_this_repository_is_not_a_checkout():
    before = sorted(path.name for path in (ROOT / "trainers").rglob("*.py"))
    assert "it has no clip/clip.py" in install(ROOT, "--remove", fails=True)
    assert sorted(path.name for path in (ROOT / "trainers").rglob("*.py")) == before


def test_a_link_to_this_repository_is_not_emptied(fake):
    (fake / "trainers/kdpl").symlink_to(ROOT / "trainers/kdpl")
    assert "links to this repository" in install(fake, "--remove", fails=True)


def test_the_installer_needs_no_package(fake):
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(INSTALL.with_suffix(".py")), str(fake), "--apply"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_a_dassl_is_copied_on_request_and_stays_with_later_installations(fake):
    before = contents(fake)
    assert "dassl/" in install(fake, "--with-dassl", PYTHONPATH="")
    assert (fake / "dassl/engine/__init__.py").read_bytes() == (ROOT / "compat/dassl/engine/__init__.py").read_bytes()
    complete = contents(fake)
    install(fake)
    assert contents(fake) == complete
    (fake / "trainers/kdpl/installed.json").unlink()  # as after an interruption
    install(fake, "--with-dassl", PYTHONPATH="")
    assert contents(fake) == complete
    install(fake, "--remove")
    assert contents(fake) == before


@pytest.mark.parametrize("place", ["checkout", "path"])
def test_no_dassl_is_copied_beside_another(place, fake, tmp_path):
    folder = fake if place == "checkout" else tmp_path / "site"
    (folder / "dassl").mkdir(parents=True)
    (folder / "dassl/__init__.py").write_text("# stock\n")
    said = install(fake, "--with-dassl", PYTHONPATH=str(tmp_path / "site"))
    assert f"finds the one in {folder / 'dassl'}" in said
    assert not (fake / "dassl/engine").exists()
    install(fake, "--remove")
    assert (folder / "dassl/__init__.py").read_text() == "# stock\n"


@pytest.mark.parametrize("name", HOMES)
def test_a_real_checkout_is_restored_byte_for_byte(name, tmp_path):
    checkout = copy_of(home(name), tmp_path / "checkout")
    before = contents(checkout)
    install(checkout, "--apply", "--with-dassl", PYTHONPATH="")
    compile((checkout / "train.py").read_bytes(), "train.py", "exec")
    install(checkout, "--remove")
    assert contents(checkout) == before
    assert not (checkout / "trainers/kdpl").exists() and not (checkout / "dassl").exists()
