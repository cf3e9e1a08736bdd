"""Sweeps through the real command line: real trainings of tiny CLIPs on a tiny dataset."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from safetensors.torch import save_file

import tools.sweep.plan as planning
from kdpl.methods import METHODS
from tools.sweep import experiment
from tools.sweep.__main__ import main, make_engine, parse
from tools.sweep.estimates import seconds_of_run
from tools.sweep.plan import FINISHED, STALE, UNFINISHED, cfg_of, plan, state_of_part, state_of_run
from tools.sweep.runs import LOG
from tools.sweep.spec import parse_spec

from .conftest import ROOT
from .tiny_clip import tiny_clip
from .tiny_datasets import tiny_split, write_jpeg


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A data root with EuroSAT and DTD of five classes, and two CLIPs beside them."""
    root = tmp_path_factory.mktemp("root")
    for folder, images, split_file in (
        ("eurosat", "2750", "split_zhou_EuroSAT.json"),
        ("dtd", "images", "split_zhou_DescribableTextures.json"),
    ):
        split = tiny_split(n_classes=4, n_train=3, n_val=1, n_test=3)
        for n, (path, *_) in enumerate(split["train"] + split["val"] + split["test"]):
            write_jpeg(root / folder / images / path, n)
        (root / folder / split_file).write_text(json.dumps(split))
    for name, seed in (("student", 1), ("teacher", 2)):
        state = {key: tensor.contiguous() for key, tensor in tiny_clip("vit", seed).state_dict().items()}
        save_file(state, root / f"{name}.safetensors")
    return root


def small_spec(root: Path, **options: object) -> dict:
    """A sweep of one training with two tests, and zero-shot CLIP on both: three runs, five records."""
    return {
        "protocol": "cross_dataset",
        "source": "eurosat",
        "datasets": "dtd",
        "students": {str(root / "student.safetensors"): ["CoOp"]},
        "teacher": str(root / "teacher.safetensors"),
        "settings": ["kdpl", "zeroshot_student"],
        "epochs": {"CoOp": 2},
        "seeds": 1,
        "shots": 2,
        "threads": 1,
        "options": {
            "INPUT.SIZE": "(32, 32)",
            "DATALOADER.NUM_WORKERS": 0,
            "DATALOADER.TRAIN_X.BATCH_SIZE": 4,
            "USE_CUDA": False,
            **options,
        },
    }


def sweep(spec: Mapping, root: Path, output: Path, *flags: str) -> subprocess.CompletedProcess:
    """Run a sweep from a process of its own."""
    command = [sys.executable, "-m", "tools.sweep", *arguments_of(spec, root, output), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def arguments_of(spec: Mapping, root: Path, output: Path) -> list[str]:
    file = output / "spec.yaml"
    output.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(dict(spec)))
    return [str(file), "--root", str(root), "--output", str(output)]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def sweep_here(monkeypatch, capfd) -> Callable[..., Done]:
    """Run a sweep from this process, which has loaded torch already; its runs have processes of their own."""
    monkeypatch.chdir(ROOT)

    def sweep_here(spec: Mapping, root: Path, output: Path, *flags: str) -> Done:
        code = main([*arguments_of(spec, root, output), *flags])
        return Done(code, *capfd.readouterr())

    return sweep_here


def records(output: Path) -> dict[str, dict]:
    """What the runs below a folder have found: their records without times, memory and the folders' names."""
    found = {}
    for file in sorted(output.rglob("results.json")):
        name = file.parent.relative_to(output)
        if not any(part.startswith(".") for part in name.parts):
            record = json.loads(file.read_text().replace(str(output), "OUTPUT"))
            del record["phases"]
            found[str(name)] = record
    return found


@pytest.fixture(scope="module")
def swept(root, tmp_path_factory) -> Path:
    """The output of a sweep that has finished."""
    output = tmp_path_factory.mktemp("swept")
    done = sweep(small_spec(root), root, output, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture
def copy(swept, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(swept, tmp_path / "copy"))


def test_a_training_and_its_tests_are_one_run_and_zero_shot_clip_is_one_a_data_set(swept):
    found = records(swept)
    (trained,) = (name for name in found if name.startswith("all_classes/train/eurosat/shots_2/CoOp_KDPL/"))
    tested = [name for name in found if name.startswith("all_classes/test_from_eurosat/")]
    assert [name.split("/")[2] for name in tested] == ["dtd", "eurosat"]
    for name in tested:
        assert found[name]["evaluations"][0]["total"] == 12
        assert found[name]["prompts_sha256"] == found[trained]["prompts_sha256"]
    zeroshot = "shots_16/ZeroshotCLIP"
    assert sum(name.startswith("all_classes/zeroshot/") and zeroshot in name for name in found) == 2
    assert len(found) == 5 and len(list(swept.rglob(LOG))) == 3


def test_what_is_finished_is_not_run_again(sweep_here, root, swept):
    before = {file: file.stat().st_mtime_ns for file in swept.rglob("results.json")}
    again = sweep_here(small_spec(root), root, swept)
    assert again.returncode == 0 and "3 runs, 3 finished before" in again.stderr
    assert {file: file.stat().st_mtime_ns for file in swept.rglob("results.json")} == before


def test_a_dry_run_tells_states_and_times_and_runs_nothing(sweep_here, root, copy):
    shutil.rmtree(copy / "all_classes" / "zeroshot")
    next(copy.glob("all_classes/test_from_eurosat/dtd/shots_2/CoOp_KDPL/*/seed1/results.json")).unlink()
    before = records(copy)
    listed = sweep_here(small_spec(root) | {"seeds": [1, 2]}, root, copy, "--dry-run")
    lines = [line.split() for line in listed.stdout.splitlines() if " all_classes/" in line]
    unfinished, second_seed, *_, gone = lines
    assert [line[0] for line in lines] == ["unfinished", "missing", "missing", "missing"]
    assert "unknown" in gone and "unknown" not in unfinished + second_seed
    assert listed.returncode == 0 and records(copy) == before
    assert "2 runs of unknown duration" in listed.stdout


@pytest.mark.parametrize("flags", [("--jobs", "0"), ("--gpus", "-1"), ("--gpus", "nan"), ("--retries", "-1")])
def test_a_dry_run_refuses_numbers_that_no_run_could_use(flags, sweep_here, root, tmp_path):
    listed = sweep_here(small_spec(root), root, tmp_path, "--dry-run", *flags)
    assert listed.returncode == 2 and listed.stderr.startswith(f"error: {flags[0]} is ") and not listed.stdout


def test_a_configuration_is_built_once_for_all_its_seeds(root, tmp_path, monkeypatch):
    """However many runs there are: a listing of all of them reads few files."""
    built, build_cfg = [], planning.build_cfg
    monkeypatch.setattr(planning, "build_cfg", lambda *args: built.append(args) or build_cfg(*args))
    spec = {"protocol": "base2new", "datasets": "eurosat", "settings": "labels", "source": ""}
    spec = small_spec(root) | spec | {"seeds": list(range(1, 51)), "shots": [1, 2, 4, 8]}
    runs = plan(parse_spec(spec), root, tmp_path)
    assert len(runs) == 200 and len(built) < 5
    built.clear()
    found = [cfg_of(part.arguments)[0] for run in runs for part in run.parts]
    assert len(built) <= 4 * 4  # numbers of shots; a training and three tests
    assert len({(cfg.SEED, cfg.OUTPUT_DIR) for cfg in found}) == len(found) == 800
    assert all(cfg.is_frozen() and cfg.SEED == int(cfg.OUTPUT_DIR.rpartition("seed")[2]) for cfg in found)
    arguments = list(runs[7].parts[0].arguments)
    arguments[arguments.index("--seed") + 1] = str(2**32)
    with pytest.raises(ValueError, match="SEED is 4294967296"):
        cfg_of(tuple(arguments))


def test_the_time_of_a_run_is_that_of_the_same_run_with_another_seed(root, swept):
    (run, *_) = plan(parse_spec(small_spec(root) | {"seeds": 2}), root, swept)
    recorded = [
        sum(phase["seconds"] for phase in json.loads(file.read_text())["phases"].values())
        for file in swept.rglob("results.json")
        if "ZeroshotCLIP" not in str(file)
    ]
    assert seconds_of_run(run) == pytest.approx(sum(recorded))


def test_the_time_of_another_run_is_that_of_similar_ones_by_images(root, swept):
    """Ten times the epochs, and seconds per image are what they were in the training and in the two tests."""
    spec = parse_spec(small_spec(root) | {"seeds": 2, "epochs": {"CoOp": 20}})
    (run, *_) = plan(spec, root, swept)
    records = [json.loads(file.read_text()) for file in swept.rglob("results.json") if "ZeroshotCLIP" not in str(file)]
    seconds = {mode: [] for mode in ("train", "eval")}
    for record in records:
        trains = record["mode"] == "train"
        images = 2 * record["visible"]["train_images"] if trains else record["evaluations"][0]["total"]
        seconds[record["mode"]].append(sum(phase["seconds"] for phase in record["phases"].values()) / images)
    # EuroSAT as published: 10 classes, of which 2 shots are drawn, and 8100 test images; DTD has 1692
    expected = seconds["train"][0] * 20 * 20 + sum(seconds["eval"]) / 2 * (8100 + 1692)
    assert len(seconds["eval"]) == 2 and seconds_of_run(run) == pytest.approx(expected)


def test_a_run_with_other_settings_is_stale_and_run_again(sweep_here, root, copy):
    (before,) = (r for name, r in records(copy).items() if "/train/" in name)
    spec = small_spec(root, **{"OPTIM.LR": 0.5})
    (run, *_) = plan(parse_spec(spec), root, copy)
    state, why = state_of_run(run)
    assert state == STALE and "OPTIM.LR: 0.002 before, 0.5 now" in why
    done = sweep_here(spec, root, copy)
    assert done.returncode == 0, done.stderr
    (after,) = (r for name, r in records(copy).items() if "/train/" in name)
    assert after["prompts_sha256"] != before["prompts_sha256"] and after["config"]["OPTIM"]["LR"] == 0.5
    assert {r["prompts_sha256"] for name, r in records(copy).items() if "/test_from_" in name} == {
        after["prompts_sha256"]
    }
    (kept,) = run.folder.glob(".replaced-*/results.json")
    assert json.loads(kept.read_text())["prompts_sha256"] == before["prompts_sha256"]


def test_tests_of_other_prompts_are_stale(root, copy):
    training, test, *_ = plan(parse_spec(small_spec(root)), root, copy)[0].parts
    assert state_of_part(test) == (FINISHED, "")
    record = Path(training.folder) / "results.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"prompts_sha256": "others"}))
    assert state_of_part(test)[0] == STALE


def test_a_broken_record_is_stale_and_an_interrupted_training_unfinished(root, copy):
    training, *_ = plan(parse_spec(small_spec(root)), root, copy)[0].parts
    record = Path(training.folder) / "results.json"
    record.write_text("{")
    assert state_of_part(training)[0] == STALE
    record.unlink()
    assert state_of_part(training) == (UNFINISHED, "")


def test_what_a_machine_lacks_is_told_once_and_the_other_runs_are_done(sweep_here, root, copy):
    shutil.rmtree(copy / "all_classes")
    blocks = [{}, {"source": "dtd", "datasets": ["food101"], "settings": ["kdpl"], "seeds": [1, 2]}]
    done = sweep_here(small_spec(root) | {"settings": "zeroshot_student", "blocks": blocks}, root, copy)
    assert done.returncode == 1
    _, _, named = done.stderr.partition("FAILED, not started:\n")
    first, second, problem, *_ = named.splitlines()
    assert first.endswith("/seed1") and second.endswith("/seed2") and problem.startswith("Food101 needs ")
    assert "trying again" not in done.stderr and "2 runs finished, 2 failed" in done.stderr
    assert done.stderr.count("Food101 needs ") == 1
    assert not (copy / "all_classes" / "train" / "dtd").exists()


def test_a_run_that_fails_is_reported_with_the_end_of_its_log(sweep_here, root, copy):
    shutil.rmtree(copy / "all_classes")
    spec = small_spec(root, **{"DATALOADER.TEST.SAMPLER": "Shuffled"}) | {"settings": "zeroshot_student"}
    done = sweep_here(spec, root, copy)
    assert done.returncode == 1 and "0 runs finished, 2 failed" in done.stderr
    assert "trying again" not in done.stderr and done.stderr.count("unknown sampler 'Shuffled'") >= 2


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"datasets": ["dtd", "dtdd"]}, "configs/datasets/dtdd.yaml .did you mean 'dtd.yaml'"),
        ({"options": {"OPTIM.LRR": 1}}, "Unknown key 'OPTIM.LRR'"),
        ({"options": {"OPTIM.LR": "fast"}}, "OPTIM.LR cannot be 'fast'"),
    ],
)
def test_what_would_fail_after_the_training_is_told_before_it(changes, message, root, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        plan(parse_spec(small_spec(root) | changes), root, tmp_path)


def test_a_folder_that_cannot_be_written_to_is_told_before_the_runs(root, tmp_path, capsys):
    arguments = arguments_of(small_spec(root), root, tmp_path)
    (tmp_path / "file").touch()
    assert main([*arguments, "--output", str(tmp_path / "file" / "output")]) == 2
    told = capsys.readouterr().err
    assert "Not a directory" in told and "FAILED" not in told


@pytest.mark.parametrize("gpus, slots", [(None, 2), (0.5, 4), (0.4, 4), (0, None)])
def test_runs_share_cards_without_overfilling_one(gpus, slots, monkeypatch, root):
    monkeypatch.setattr("tools.sweep.__main__.visible_cards", lambda: ["0", "3"])
    flags = ["spec.yaml"] + (["--gpus", str(gpus)] if gpus is not None else [])
    engine = make_engine(parse(flags), parse_spec(small_spec(root)), root)
    assert engine.cards == ([] if slots is None else ["0", "3"])
    assert engine.slots == (slots or len(os.sched_getaffinity(0)))


def test_protocols_share_trainings_and_two_that_disagree_are_refused(root, tmp_path):
    spec = small_spec(root) | {"seeds": [1, 2]}
    blocks = [{}, {"protocol": "few_shot", "source": None, "datasets": "eurosat"}]
    runs = plan(parse_spec(spec | {"blocks": blocks}), root, tmp_path)
    assert len(runs) == 2 + 2  # two seeds, two zero-shot evaluations
    blocks[1]["options"] = spec["options"] | {"OPTIM.LR": 0.5}
    with pytest.raises(ValueError, match="(?s)Two blocks want different runs in .*OPTIM.LR 0.5"):
        plan(parse_spec(spec | {"blocks": blocks}), root, tmp_path)


def test_halves_of_classes_have_the_folders_of_the_script(tmp_path):
    spec = {"protocol": "base2new", "datasets": "caltech101", "students": {"ViT-B/32": ["CoOp"]}, "seeds": 1}
    settings = ["labels", "kdpl", "kdpl_ca", "zeroshot_student", "zeroshot_student_generic", "zeroshot_teacher"]
    runs = plan(parse_spec(spec | {"settings": settings}), tmp_path, tmp_path)
    where, tests = "caltech101/shots_16", ("test_base", "test_new", "test_all")
    assert [[str(Path(part.folder).relative_to(tmp_path)) for part in run.parts] for run in runs] == [
        *(
            [f"base2new/{part}/{where}/{name}/seed1" for part in ("train_base", *tests)]
            for name in ("CoOp/vit_b32_ctxv1", "CoOp_KDPL/vit_b32_ctxv1", "CoOp_KDPL/vit_b32_ctxv1__class_agnostic")
        ),
        *(
            [f"base2new/{part}/{where}/ZeroshotCLIP/{name}/seed1" for part in tests]
            for name in ("ViT-B-32", "ViT-B-32__template_generic", "ViT-L-14")
        ),
    ]


def test_class_specific_contexts_are_not_tested_on_all_classes(tmp_path):
    spec = {"protocol": "base2new", "datasets": "dtd", "students": {"ViT-B/32": ["CoOp", "CoCoOp"]}, "seeds": 1}
    options = {"TRAINER.COOP.CSC": True, "TRAINER.COOP.CTX_INIT": ""}
    runs = plan(parse_spec(spec | {"settings": ["labels", "kdpl"], "options": options}), tmp_path, tmp_path)
    assert [len(run.parts) for run in runs] == [3, 4, 3, 4]  # CoOp, CoCoOp, and both with KDPL


def test_each_of_several_teachers_is_tested_zero_shot(tmp_path):
    spec = {"protocol": "base2new", "datasets": "dtd", "students": {"ViT-B/32": ["CoOp"]}, "teacher": "RN50, ViT-L/14"}
    runs = plan(parse_spec(spec | {"settings": "zeroshot_teacher"}), tmp_path, tmp_path)
    assert [run.folder.parent.name for run in runs] == ["RN50", "ViT-L-14"]


def test_an_experiment_is_a_sweep_of_one_method_beside_zero_shot_clip(monkeypatch):
    monkeypatch.chdir(ROOT)
    words = "domain_generalization shapes 3 VPT_KDPL --epochs 2 --class-agnostic --targets shapes_night"
    block = experiment.block_of(experiment.parse(words.split()))
    assert (block.source, block.datasets, block.students) == ("shapes", ("shapes_night",), {"demo:student": ("VPT",)})
    assert block.settings == ("zeroshot_student", "zeroshot_teacher", "kdpl_ca")
    assert (block.seeds, block.shots, block.epochs, block.cfgs) == ((3,), (16,), {"VPT": 2}, {"VPT": "demo"})
    assert experiment.block_of(experiment.parse(["few_shot", "shapes", "1"])).shots == (1, 2, 4, 8, 16)
    with pytest.raises(ValueError, match="base2new takes a single number of shots"):
        experiment.block_of(experiment.parse(["base2new", "shapes", "1", "--shots", "1", "2"]))


@pytest.mark.skipif(
    not os.environ.get("KDPL_TEST_KILLS"), reason="takes minutes: KDPL_TEST_KILLS=1 kills real sweeps of the demo"
)
def test_a_sweep_of_the_demo_that_is_killed_twenty_times_ends_with_the_same_records(tmp_path):
    spec = yaml.safe_load((ROOT / "configs" / "sweeps" / "demo.yaml").read_text())
    spec["blocks"] = spec["blocks"][:1]
    spec |= {"seeds": [1], "epochs": dict.fromkeys(METHODS, 2), "shots": 4}
    data = tmp_path / "data"
    done = sweep(spec, data, tmp_path / "whole", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    whole = records(tmp_path / "whole")

    output, chance = tmp_path / "killed", random.Random(1)
    shutil.copytree(tmp_path / "whole", output, ignore=shutil.ignore_patterns("base2new"))
    for _ in range(20):
        command = [sys.executable, "-m", "tools.sweep", output / "spec.yaml", "--root", data, "--output", output]
        killed = subprocess.Popen([*command, "--jobs", "2"], cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(5, 25))
        killed.kill()
        killed.wait()
    done = sweep(spec, data, output, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert records(output) == whole
