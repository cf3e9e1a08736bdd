"""The drop-in for a CoOp checkout: what the installer writes and takes back, and runs in real checkouts.

The latter need COOP_HOME and DASSL_HOME to name checkouts of KaiyangZhou/CoOp and KaiyangZhou/Dassl.pytorch.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.tiny_clip import images, tiny_clip, tokenize
from tests.tiny_datasets import write_jpeg

INSTALL = ROOT / "scripts" / "install_into_coop.sh"
KDPL = ["CoOp_KDPL", "CoCoOp_KDPL", "VPT_KDPL", "MaPLe_KDPL", "PromptSRC_KDPL"]
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


def install(coop: Path, *options: str, fails: bool = False) -> str:
    """Run the installer; what it said."""
    run = subprocess.run(
        ["bash", str(INSTALL), str(coop), *options],
        env={**os.environ, "KDPL_PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr if not fails else "") == (2 if fails else 0, ""), run.stderr
    return run.stderr if fails else run.stdout


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but those that Python compiles or git keeps."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    names = {file.relative_to(folder).as_posix(): file for file in files}
    return {
        name: file.read_bytes() for name, file in names.items() if "__pycache__" not in name and ".git/" not in name
    }


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
    assert (fake / "trainers/kdpl/prompt_learners/maple.py").is_file()
    assert (fake / "configs/trainers/MaPLe_KDPL").is_dir()
    assert not (fake / "compat").exists() and not (fake / "trainers/maple.py").exists()
    assert "after line 5:  import trainers.kdpl.config, trainers.coop_kdpl" in said
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
    assert "train.py has its two lines" in install(fake, "--apply")
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


def test_what_was_written_into_train_py_since_then_stays(fake):
    install(fake, "--apply")
    (fake / "train.py").write_text((fake / "train.py").read_text() + "# a note\n")
    install(fake, "--remove")
    assert (fake / "train.py").read_text() == TRAIN + "# a note\n"


@pytest.mark.parametrize("name", ["trainers/coop_kdpl.py", "trainers/kdpl/losses.py"])
def test_a_foreign_file_of_the_same_name_is_refused_and_kept(name, fake):
    (fake / name).parent.mkdir(exist_ok=True)
    (fake / name).write_text("# somebody else's\n")
    before = contents(fake)
    assert f"where ours would go: {name}. Nothing was written." in install(fake, "--apply", fails=True)
    install(fake, "--remove")
    assert contents(fake) == before


def test_a_file_changed_since_the_installation_is_not_lost(fake):
    install(fake, "--apply")
    changed = fake / "trainers/kdpl/losses.py"
    changed.write_text("# an experiment\n")
    assert "changed ones" in install(fake, fails=True)
    assert "Kept, as they are not as they were installed: trainers/kdpl/losses.py" in install(fake, "--remove")
    assert changed.read_text() == "# an experiment\n" and not (fake / "trainers/kdpl/trainer.py").exists()
    assert (fake / "train.py").read_text() == TRAIN


def test_an_older_version_is_replaced(fake):
    install(fake)
    old = {"trainers/kdpl/losses.py": b"# older\n", "trainers/kdpl/renamed_since.py": b"# gone\n"}
    record = json.loads((fake / "trainers/kdpl/installed.json").read_text())
    for name, content in old.items():
        (fake / name).write_bytes(content)
        record[name] = hashlib.sha256(content).hexdigest()
    (fake / "trainers/kdpl/installed.json").write_text(json.dumps(record))
    install(fake)
    assert (fake / "trainers/kdpl/losses.py").read_bytes() == (ROOT / "trainers/kdpl/losses.py").read_bytes()
    assert not (fake / "trainers/kdpl/renamed_since.py").exists()


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


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    said = install(tmp_path, fails=True)
    assert "is no CoOp checkout: it has no train.py, no trainers/coop.py" in said and "Looked for" in said


def test_this_repository_is_no_checkout():
    before = sorted(path.name for path in (ROOT / "trainers").rglob("*.py"))
    assert "it has no clip/clip.py" in install(ROOT, "--remove", fails=True)
    assert sorted(path.name for path in (ROOT / "trainers").rglob("*.py")) == before


def test_a_link_to_this_repository_is_not_emptied(fake):
    (fake / "trainers/kdpl").symlink_to(ROOT / "trainers/kdpl")
    assert "is a link to this repository" in install(fake, "--remove", fails=True)


def test_the_installer_needs_no_package(fake):
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(INSTALL.with_suffix(".py")), str(fake), "--apply"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


# Real checkouts


class Checkout:
    """A copy of a CoOp checkout with the trainers installed, a data set of real JPEGs and two tiny CLIPs."""

    def __init__(self, folder: Path, coop: str, dassl: str):
        self.folder, self.dassl = folder, Path(dassl).resolve()
        self.coop = folder / "CoOp"
        shutil.copytree(coop, self.coop, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        self.before = contents(self.coop)
        install(self.coop, "--apply")
        self._draw_caltech101()
        for name, seed in (("student", 1), ("teacher", 3)):
            model = tiny_clip(seed=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # OpenAI's files are of this kind, which torch advises against by now
                torch.jit.save(torch.jit.trace(model, (images(1, model), tokenize(["a dog"]))), folder / f"{name}.pt")
        digest = hashlib.sha256((folder / "student.pt").read_bytes()).hexdigest()
        served = folder / digest / "student.pt"  # CoOp's clip reads the digest from the address
        served.parent.mkdir()
        shutil.copy(folder / "student.pt", served)
        self.student_url = served.as_uri()

    def _draw_caltech101(self) -> None:
        """Four classes in CoOp's layout, with a split file of its form."""
        root, split = self.folder / "data" / "caltech-101", {}
        for part, count in (("train", 6), ("val", 4), ("test", 5)):
            split[part] = [
                [f"{name}/image_{part}_{i}.jpg", label, name]
                for label, name in enumerate(["face", "leopard", "motorbike", "accordion"])
                for i in range(count)
            ]
            for n, (path, *_) in enumerate(split[part]):
                write_jpeg(root / "101_ObjectCategories" / path, n, (48, 40))
        (root / "split_zhou_Caltech101.json").write_text(json.dumps(split))

    def train(
        self, trainer: str, output: str, *arguments: str, clip_called_tiny: bool = False, fails: bool = False
    ) -> str:
        """Run its train.py; what it printed."""
        backbone = "tiny" if clip_called_tiny else str(self.folder / "student.pt")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        paths = [ROOT / "tests" / "coop_shim", self.dassl, os.environ.get("PYTHONPATH", "")]
        if clip_called_tiny:
            environment["CLIP_CALLED_TINY"] = self.student_url
            paths.append(self.coop)
        environment["PYTHONPATH"] = os.pathsep.join(str(path) for path in paths if str(path))
        options = {
            "INPUT.SIZE": "(32,32)", "DATASET.NUM_SHOTS": 4, "DATASET.SUBSAMPLE_CLASSES": "base", "USE_CUDA": False,
            "DATALOADER.NUM_WORKERS": 0, "DATALOADER.TRAIN_X.BATCH_SIZE": 4, "OPTIM.MAX_EPOCH": 2,
            "MODEL.BACKBONE.NAME": backbone, "TRAINER.COOP.PREC": "fp32", "TRAINER.COCOOP.PREC": "fp32",
            "TRAINER.KDPL.TEACHER": self.folder / "teacher.pt", "TRAINER.VPT.PROMPT_DEPTH_VISION": 2,
            "TRAINER.MAPLE.PROMPT_DEPTH": 2, "TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT": 2,
            "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION": 2,
        }  # fmt: skip
        config = sorted((self.coop / "configs" / "trainers" / trainer).glob("vit_b16*.yaml"))[0]
        command = [
            sys.executable, "-W", "ignore", "train.py", "--root", self.folder / "data", "--seed", 1,
            "--trainer", trainer, "--output-dir", self.folder / output,
            "--dataset-config-file", "configs/datasets/caltech101.yaml", "--config-file", config,
            *[argument for argument in arguments if argument.startswith("-")],
            *[str(x) for pair in options.items() for x in pair],
            *[argument for argument in arguments if not argument.startswith("-")],
        ]  # fmt: skip
        run = subprocess.run([str(x) for x in command], cwd=self.coop, env=environment, capture_output=True, text=True)
        assert (run.returncode != 0) == fails, run.stdout[-1500:] + run.stderr[-3000:]
        return run.stderr if fails else run.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Checkout:
    missing = [name for name in ("COOP_HOME", "DASSL_HOME") if not os.environ.get(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} name no checkout")
    return Checkout(tmp_path_factory.mktemp("coop"), os.environ["COOP_HOME"], os.environ["DASSL_HOME"])


def accuracy(said: str) -> str:
    return [line for line in said.splitlines() if "* accuracy" in line][-1]


@pytest.mark.parametrize("trainer", KDPL)
def test_our_trainers_train_save_and_evaluate_in_a_checkout(trainer, checkout):
    said = checkout.train(trainer, trainer)
    assert "epoch [2/2] batch [2/2]" in said
    assert said.count("mended for torch") == (torch.__version__ >= (2, 6))
    record = json.loads((checkout.folder / trainer / "results.json").read_text())
    assert record["status"] == "finished" and record["evaluations"][0]["total"] == 10
    again = checkout.train(
        trainer, f"{trainer}_eval", "--eval-only", f"--model-dir={checkout.folder / trainer}", "--load-epoch=2"
    )
    assert accuracy(again) == accuracy(said)


@pytest.mark.parametrize("trainer", ["CoOp", "CoCoOp"])
def test_its_own_trainers_train_save_resume_and_evaluate_as_before(trainer, checkout):
    output = f"own_{trainer}"
    checkout.train(trainer, output, clip_called_tiny=True)
    assert not (checkout.folder / output / "results.json").exists()  # none of ours took its name
    said = checkout.train(trainer, output, "OPTIM.MAX_EPOCH", "3", clip_called_tiny=True)
    assert "will resume training" in said and "epoch [3/3]" in said and "epoch [2/3]" not in said
    again = checkout.train(
        trainer, f"{output}_eval", "--eval-only", f"--model-dir={checkout.folder / output}", "--load-epoch=3",
        clip_called_tiny=True,
    )  # fmt: skip
    assert accuracy(again) == accuracy(said)


def test_the_demo_pair_is_named_as_absent_in_a_checkout(checkout):
    said = checkout.train("CoOp_KDPL", "demo", "TRAINER.KDPL.TEACHER", "demo:teacher", fails=True)
    assert "demo:teacher needs" in said and "It is part of the KDPL repository" in said


def test_a_checkout_in_which_was_trained_is_restored(checkout):  # the last one: it removes what the others use
    install(checkout.coop, "--remove")
    assert contents(checkout.coop) == checkout.before
    assert not (checkout.coop / "trainers" / "kdpl").exists()
