"""train.py through its command line: what it does, and how it reports mistakes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dassl.engine
import pytest

import train
from kdpl.evaluation import forget_outputs
from kdpl.locks import sole_writer

from .conftest import ROOT
from .tiny_clip import save_student_and_teacher

CONFIGS = ROOT / "configs"
DATASET_FILE = CONFIGS / "datasets" / "caltech101.yaml"
METHOD_FILE = CONFIGS / "trainers" / "CoOp_KDPL" / "vit_b32_ctxv1.yaml"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """A folder with a student and a teacher for images of 32 pixels."""
    return save_student_and_teacher(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def command(data, clips, tmp_path) -> Callable[..., list]:
    """Arguments for one epoch of CoOp_KDPL with the small models; more flags and pairs can be added."""

    def arguments(*flags: object, pairs: tuple = (), output: str = "output", trainer: str = "CoOp_KDPL") -> list:
        return [
            "--root", data, "--trainer", trainer, "--seed", 1, "--backbone", clips / "student.safetensors",
            "--dataset-config-file", DATASET_FILE, "--config-file", METHOD_FILE, "--output-dir", tmp_path / output,
            *flags,
            "DATASET.NUM_SHOTS", 2, "DATALOADER.NUM_WORKERS", 0, "DATALOADER.TRAIN_X.BATCH_SIZE", 4,
            "INPUT.SIZE", "(32,32)", "OPTIM.MAX_EPOCH", 2,
            "TRAINER.KDPL.TEACHER", clips / "teacher.safetensors", *pairs,
        ]  # fmt: skip

    return arguments


def run_here(arguments: list) -> int:
    """Run train.py in this process, which has loaded torch already."""
    return train.main(list(map(str, arguments)))


@pytest.fixture
def refused(capsys) -> Callable[[list], str]:
    """Run a command line that its user has to fix; returns the message."""

    def refused(arguments: list) -> str:
        assert run_here(arguments) == 2
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err and said.err.count("error: ") == 1
        assert "epoch [" not in said.out
        return said.err[said.err.index("error: ") :]

    return refused


def test_training_evaluation_and_repetition(command, run_train, tmp_path, capsys):
    trained = run_train(*command())
    assert trained.returncode == 0, trained.stderr
    check_console(trained.stdout, (tmp_path / "output" / "log.txt").read_text(), tmp_path / "output")
    record = json.loads((tmp_path / "output" / "results.json").read_text())
    assert record["config"]["TRAINER"]["NAME"] == "CoOp_KDPL" and record["evaluations"][0]["total"] == 8

    evaluate = ("--eval-only", "--model-dir", tmp_path / "output")
    new = command(*evaluate, pairs=("DATASET.SUBSAMPLE_CLASSES", "new"), output="new")
    assert run_here(new) == 0
    evaluated = json.loads((tmp_path / "new" / "results.json").read_text())
    assert evaluated["evaluations"][0]["total"] == 4 and evaluated["prompts_sha256"] == record["prompts_sha256"]

    base = command(pairs=("DATASET.SUBSAMPLE_CLASSES", "base", "TEST.NO_TEST", "True"), output="base")
    assert run_here(base) == 0
    assert "evaluate: add --eval-only --model-dir" in capsys.readouterr().out
    together = command("--eval-only", "--model-dir", tmp_path / "base", output="all")
    assert run_here(together) == 0  # base and new classes classified together
    evaluated = json.loads((tmp_path / "all" / "results.json").read_text())["evaluations"][0]
    assert evaluated["subsample"] == "all" and [row["total"] for row in evaluated["per_class"]] == [2, 2, 2, 2]

    assert run_here(command(output="again")) == 0
    assert json.loads((tmp_path / "again" / "results.json").read_text())["prompts_sha256"] == record["prompts_sha256"]


def check_console(printed: str, log: str, output: Path) -> None:
    """The console shows what matters; the log also has all settings, the system and the transforms, once each."""
    details = ["** Arguments **", "** Config **", "** System info **", "Building transform_train", "+ random flip"]
    assert all(log.count(line) == 1 and line not in printed for line in details)
    lines = printed.splitlines()
    assert len(lines) < 60 and set(lines[1:]) <= set(log.splitlines())
    for line in ("Setting fixed seed: 1", "Trainer: CoOp_KDPL", "Training: 2 epochs on 2 images per class"):
        assert line in lines
    assert f"Checkpoint saved to {output}/prompt_learner/model.pth.tar-2" in lines
    epochs = [line for line in lines if line.startswith("epoch [")]
    assert epochs[-1].startswith("epoch [2/2]") and " loss " in epochs[-1] and " acc " not in epochs[-1]
    assert lines[-4:] == [
        f"Results: {output}/results.json",
        f"  as a table: python -m tools.tables {output}",
        f"Prompts: {output}/prompts.safetensors",
        f"  classify photos: python -m kdpl predict {output}/prompts.safetensors PHOTO",
    ]


def test_an_evaluation_records_calibration_confusion_and_on_request_every_image(command, tmp_path):
    pairs = ("TEST.PER_IMAGE_FILE", "True")
    assert run_here(command("--eval-only", trainer="CoOp", pairs=pairs)) == 0
    (evaluation,) = json.loads((tmp_path / "output" / "results.json").read_text())["evaluations"]
    assert 0 <= evaluation["ece"] <= 100
    confusion = {(label, predicted): count for label, predicted, count in evaluation["confusion"]}
    assert sum(confusion.values()) == evaluation["total"] == 8
    with open(tmp_path / "output" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["path"] for row in rows) == [
        f"caltech-101/101_ObjectCategories/class_{c}/test_{i}.jpg" for c in range(4) for i in range(2)
    ]
    assert all(row["path"].split("/")[2] == row["label"] for row in rows)
    assert sum(row["label"] == row["class_1"] for row in rows) == evaluation["correct"]
    for row in rows:
        probabilities = [float(row[f"probability_{rank}"]) for rank in range(1, 5)]
        assert sorted(probabilities, reverse=True) == probabilities and sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_evaluations_from_all_classes_share_their_outputs(command, refused, tmp_path, capsys):
    def evaluated(half: str, *flags: object, trainer: str = "CoOp") -> dict:
        output = "-".join(map(str, [trainer, half, *flags]))
        pairs = ("DATASET.SUBSAMPLE_CLASSES", half)
        assert run_here(command("--eval-only", *flags, trainer=trainer, pairs=pairs, output=output)) == 0
        (evaluation,) = json.loads((tmp_path / output / "results.json").read_text())["evaluations"]
        return evaluation | {"ece": pytest.approx(evaluation["ece"], abs=1e-3)}  # differs in the last bits

    forget_outputs()
    for trainer in ("CoOp", "ZeroshotCLIP"):
        for half in ("base", "new", "all"):
            shared, alone = (evaluated(half, *flags, trainer=trainer) for flags in (["--from-all-classes"], []))
            assert shared.pop("ece") == alone.pop("ece").expected and shared == alone
        assert capsys.readouterr().out.count("Computing the outputs for all 4 classes\n") == 1
    evaluated("new", "--from-all-classes")  # those kept last are of other prompts
    evaluated("new", "--from-all-classes", "--seed", 2)
    assert capsys.readouterr().out.count("Computing the outputs for all 4 classes\n") == 2
    assert "Add --eval-only" in refused(command("--from-all-classes"))


def test_outputs_for_all_classes_are_those_of_the_same_prompts_even_if_these_are_random(command, monkeypatch):
    built, build = [], dassl.engine.build_trainer
    monkeypatch.setattr(dassl.engine, "build_trainer", lambda cfg: built.append(build(cfg)) or built[-1])
    pairs = ("DATASET.SUBSAMPLE_CLASSES", "new", "TRAINER.COOP.CTX_INIT", "")
    assert run_here(command("--eval-only", "--from-all-classes", "--seed", -1, trainer="CoOp", pairs=pairs)) == 0
    half, whole = built
    assert len(half.classnames) < len(whole.classnames) and half.prompts_sha256 == whole.prompts_sha256


def test_deterministic_kernels_are_used_on_request_and_recorded(command, run_train, tmp_path):
    assert run_here(command(output="usual")) == 0
    done = run_train(*command("--deterministic", output="fixed"))  # a setting of the whole process
    assert done.returncode == 0, done.stderr
    usual, fixed = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("usual", "fixed"))
    kernels = {"deterministic": True, "cudnn_benchmark": False, "tf32": False}
    assert fixed["numerics"] == kernels | {"precision": "fp32", "step": "plain"}
    assert usual["numerics"]["deterministic"] is False and usual["numerics"]["tf32"] is True
    assert usual["prompts_sha256"] == fixed["prompts_sha256"]


def test_flags_win_over_files_and_pairs_over_flags(command, tmp_path, capsys):
    pairs = ("OPTIM.LR", "0.125", "SEED", "7")
    assert run_here(command("--no-train", pairs=pairs)) == 0
    assert "** Config **" not in capsys.readouterr().out
    config = (tmp_path / "output" / "log.txt").read_text().split("** Config **")[1]
    for setting in (
        "NAME: Caltech101",  # the dataset's file over the default
        "LR_SCHEDULER: cosine",  # the method's file over the default
        f"OUTPUT_DIR: {tmp_path / 'output'}",  # a flag over the default
        "LR: 0.125",  # a pair over the method's file
        "SEED: 7",  # a pair over a flag
    ):
        assert f"{setting}\n" in config


def test_help_needs_no_torch():
    start = time.monotonic()
    result = subprocess.run([sys.executable, ROOT / "train.py", "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and "--dataset-config-file" in result.stdout
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("trainer", ["CoOp_KDPL", "ZeroshotCLIP"])
def test_transforms_without_normalize_are_refused_with_the_way_to_raw_pixels(trainer, command, refused, tmp_path):
    for flags, pairs in ((("--transforms", "random_flip", "--no-train"), ()), ((), ("INPUT.TRANSFORMS", "[]"))):
        message = refused(command(*flags, pairs=pairs, trainer=trainer))
        assert "without 'normalize': CLIP would see unnormalised images" in message
    assert not (tmp_path / "output").exists()


def test_a_vocabulary_that_cannot_be_fetched_is_reported_before_anything_is_loaded(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("kdpl.distillation.vocabulary.download", no_network)
    assert run_here(command(pairs=("TRAINER.KDPL.CLASS_AGNOSTIC", True))) == 2
    said = capsys.readouterr()
    assert said.err == "error: no network\n" and not said.out
    assert not (tmp_path / "output").exists()


def no_network(*args: object, **options: object) -> None:
    raise ConnectionError("no network")


@pytest.mark.parametrize(
    "flags, pairs, said",
    [
        ((), ("DATASET.NAME", "caltech101"), ["no dataset 'caltech101'", "did you mean 'Caltech101'", "UCF101"]),
        ((), ("TRAINER.KDPL.TEACHER", "ViT-L-14"), ["'ViT-L-14'", "did you mean 'ViT-L/14'"]),
        ((), ("OPTIM.MAX_EPOCHS", "5"), ["'OPTIM.MAX_EPOCHS'", "did you mean 'OPTIM.MAX_EPOCH'", "WARMUP_EPOCH"]),
        ((), ("NO.SUCH.KEY", "5"), ["'NO.SUCH.KEY'", "groups are VERSION, OUTPUT_DIR"]),
        ((), ("OPTIM.LR",), ["OPTIM.LR has no value"]),
        ((), ("OPTIM.MAX_EPOCH", "many"), ["OPTIM.MAX_EPOCH cannot be 'many'; it takes a whole number from 1"]),
        ((), ("--seed", "2"), ["--seed is among", "flags must come before"]),
        ((), ("INPUT.SIZE", "(224,224)"), ["(224, 224)", "32 x 32"]),
        ((), ("TRAINER.COOP.PREC", "fp8"), ["'fp8'", "fp32, bf16, fp16, amp"]),
        ((), ("DATASET.SUBSAMPLE_CLASSES", "old"), ["'old'", "base", "new"]),
        (("--config-file", CONFIGS / "trainers/CoOp/vit.yaml"), (), ["trainers/CoOp/vit.yaml", "rn50_ctxv1.yaml"]),
        (("--dataset-config-file", CONFIGS / "datasets/caltech.yaml"), (), ["mean 'caltech101.yaml'", "dtd.yaml"]),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_exists(command, refused, flags, pairs, said):
    message = refused(command(*flags, pairs=pairs))
    assert [words for words in said if words not in message] == []


@pytest.mark.parametrize(
    "text, said",
    [
        ("OPTIM:\n  MAX_EPOCHS: 3\n", ["'OPTIM.MAX_EPOCHS' in", "did you mean 'OPTIM.MAX_EPOCH'"]),
        ("OPTIM:\n  LR: [1\n", ["is not a YAML file of settings", "line 3"]),
        ("- a list\n", ["is not a YAML file of settings"]),
        ("OPTIM:\n  MAX_EPOCH: many\n", ["OPTIM.MAX_EPOCH cannot be 'many'; it takes a whole number"]),
    ],
)
def test_a_broken_configuration_file_is_named_with_the_fault(tmp_path, refused, text, said):
    file = tmp_path / "method.yaml"
    file.write_text(text)
    message = refused(["--config-file", file])
    assert [words for words in [str(file), *said] if words not in message] == []


@pytest.mark.parametrize(
    "flags, pairs, said",
    [
        (("--trainer", "CoOp_KDLP"), (), ["no trainer 'CoOp_KDLP'", "did you mean 'CoOp_KDPL'", "ZeroshotCLIP"]),
        (("--backbone", "ViT-B-32"), (), ["No CLIP is called 'ViT-B-32'", "did you mean 'ViT-B/32'", "RN50"]),
        ((), ("TRAINER.KDPL.TEACHR", "x"), ["'TRAINER.KDPL.TEACHR'", "did you mean 'TRAINER.KDPL.TEACHER'", "K_MAX"]),
    ],
)
def test_a_name_that_does_not_exist_leaves_nothing_behind(command, refused, tmp_path, flags, pairs, said):
    message = refused(command(*flags, pairs=pairs))
    assert [words for words in said if words not in message] == []
    assert not (tmp_path / "output").exists()


def damaged_data(data: Path, damage: str) -> str:
    """Damage the dataset; returns what the message must name."""
    folder = data / "caltech-101"
    split, image = folder / "split_zhou_Caltech101.json", folder / "101_ObjectCategories" / "class_1" / "test_0.jpg"
    if damage == "no folder":
        folder.rename(data / "caltech")
        return str(folder)
    if "split" in damage:
        split.unlink() if damage == "no split" else split.write_text(split.read_text()[:200])
        return str(split)
    if damage == "no image":
        image.unlink()
    if damage == "image cut off":
        image.write_bytes(image.read_bytes()[:200])
    return "class_1/test_0.jpg"


@pytest.mark.parametrize("damage", ["no folder", "no split", "split cut off", "no image", "image cut off"])
def test_damaged_data_are_named_before_anything_is_trained_and_in_the_log(command, refused, data, tmp_path, damage):
    named = damaged_data(data, damage)
    assert named in refused(command())
    log = (tmp_path / "output" / "log.txt").read_text()
    assert "error: " in log[-800:] and named in log[-800:] and "Loading CLIP" not in log


def test_a_checkpoint_of_another_method_is_refused_with_both_names(command, refused, tmp_path, capsys):
    maple = ("--config-file", CONFIGS / "trainers" / "MaPLe_KDPL" / "vit_b32_c2_ep5_batch4_2ctx.yaml")
    learn = command(*maple, trainer="MaPLe_KDPL", pairs=("OPTIM.MAX_EPOCH", 1))
    assert run_here(learn) == 0
    capsys.readouterr()
    evaluate = command("--eval-only", "--model-dir", tmp_path / "output", output="other")
    assert "MultiModalPromptLearner" in refused(evaluate)


def test_weights_that_cannot_be_fetched_are_named_with_the_ways_to_get_them(command, refused, tmp_path, monkeypatch):
    monkeypatch.setenv("KDPL_CLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KDPL_CLIP_MIRROR", "http://127.0.0.1:9")
    message = refused(command("--backbone", "ViT-B/32", pairs=("INPUT.SIZE", "(224,224)")))
    said = ("ViT-B-32.pt", str(tmp_path / "cache"), "http://127.0.0.1:9", "run the same command again")
    assert [words for words in said if words not in message] == []
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == [".ViT-B-32.pt.lock"]


def test_an_interrupted_training_says_that_the_same_command_continues(command, tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *map(str, command(pairs=("OPTIM.MAX_EPOCH", 1000)))],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while process.poll() is None and not (tmp_path / "output" / "resume.pth").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in printed
    assert printed.endswith("Interrupted. Run the same command again to resume after the last finished epoch.\n")


def test_two_trainings_do_not_write_into_one_folder(command, refused, tmp_path):
    output = tmp_path / "output"
    with sole_writer(output, output / ".writer"):
        said = refused(command(pairs=("TRAINER.KDPL.PREC", "fp32")))
    assert f"{output} is being written to by process {os.getpid()} on " in said and "another output" in said
    assert sorted(file.name for file in output.iterdir()) == [".writer", ".writer-owner"]
