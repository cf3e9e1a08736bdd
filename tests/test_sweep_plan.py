"""Which runs a sweep consists of, and what is refused before any of them starts."""

import os
from pathlib import Path

import pytest

import tools.sweep.plan as planning
from tools.sweep import experiment
from tools.sweep.__main__ import main, make_engine, parse
from tools.sweep.plan import cfg_of, plan
from tools.sweep.spec import parse_spec

from .conftest import ROOT
from .small_sweep import arguments_of, small_spec, write_root


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_root(tmp_path_factory.mktemp("root"))


def test_a_configuration_is_built_once_for_all_its_seeds(root, tmp_path, monkeypatch):
    """However many runs there are, listing them reads few files."""
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


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"datasets": ["dtd", "dtdd"]}, "configs/datasets/dtdd.yaml .did you mean 'dtd.yaml'"),
        ({"options": {"OPTIM.LRR": 1}}, "Unknown key 'OPTIM.LRR'"),
        ({"options": {"OPTIM.LR": "fast"}}, "OPTIM.LR cannot be 'fast'"),
    ],
)
def test_what_would_fail_after_the_training_is_reported_before_it(changes, message, root, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        plan(parse_spec(small_spec(root) | changes), root, tmp_path)


def test_an_unwritable_folder_is_reported_before_the_runs(root, tmp_path, capsys):
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
    blocks[1]["variant"] = "lr 0.5"
    names = [run.name for run in plan(parse_spec(spec | {"blocks": blocks}), root, tmp_path)]
    assert len(names) == 4 + 2 and sum("__lr-0.5/" in name for name in names) == 2


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
