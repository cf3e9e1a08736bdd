"""One published number compared with ours, from hand-made records."""

import json
import re
from pathlib import Path

import pytest

import tools.reproduce
from tools.paper_cells import Cell, narrowed, parse_cell
from tools.reproduce import main
from tools.sweep.plan import cfg_of, plan
from tools.sweep.spec import Spec, read_spec
from trainers.kdpl.config import plain_config

CELL = "domain_generalization CoOp_KDPL imagenet_a"  # ViT-B/32, published: see assets/published/kdpl.csv


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.chdir(Path(tools.reproduce.__file__).parents[1])


def published() -> tuple[float, int]:
    lines = Path("assets/published/kdpl.csv").read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        if "domain_generalization,ViT-B/32,CoOp+KDPL,ImageNetA,top1_accuracy," in line:
            return float(line.split(",top1_accuracy,")[1].split(",")[0]), number
    raise AssertionError("the published number is gone")


def write_records(output: Path, root: Path, correct: dict[int, int], **changes) -> None:
    """Records of all parts of the cell; ``correct`` of 10,000 test images by seed."""
    cell = parse_cell(CELL)
    block = narrowed(read_spec("configs/sweeps/paper_domain_generalization.yaml"), cell, None)
    for run in plan(Spec((block,)), root, output):
        for part in run.parts:
            cfg, args = cfg_of(part.arguments)
            record = {
                "format": 1, "status": "finished", "mode": "eval" if args.eval_only else "train",
                "trainer": cfg.TRAINER.NAME, "dataset": cfg.DATASET.NAME, "subsample": "all", "seed": cfg.SEED,
                "shots": 16, "backbone": cfg.MODEL.BACKBONE.NAME, "config": plain_config(cfg), "epochs": 50,
                "teacher": None if args.eval_only else cfg.TRAINER.KDPL.TEACHER, "weights_sha256": {"student": "s"},
                "split_sha256": "split", "classnames_sha256": "names", "prompts_sha256": f"prompts{cfg.SEED}",
                "versions": {"torch": "2.13.0"}, "device": "NVIDIA", "phases": {}, "evaluations": [],
            } | changes  # fmt: skip
            if args.eval_only:
                each, more = divmod(correct[cfg.SEED], 200)  # of 200 classes with 50 images each
                per_class = [{"classname": str(i), "correct": each + (i < more), "total": 50} for i in range(200)]
                test = {"dataset": cfg.DATASET.NAME, "split": "test", "subsample": "all", "per_class": per_class}
                record["evaluations"] = [test | {"correct": correct[cfg.SEED], "total": 10_000}]
            else:
                record["visible"] = {"train_images": 16_000, "labels_used": False, "classnames": "dataset"}
            Path(part.folder).mkdir(parents=True)
            (Path(part.folder) / "results.json").write_text(json.dumps(record))


def reproduce(tmp_path: Path, cell: str = CELL, *flags: str) -> int:
    return main([cell, "--root", str(tmp_path / "data"), "--output", str(tmp_path / "out"), *flags])


def test_a_number_near_the_published_one_is_inside(tmp_path, capsys):
    value, line = published()
    near = round(100 * value)
    write_records(tmp_path / "out", tmp_path / "data", {1: near - 20, 2: near, 3: near + 20})
    assert reproduce(tmp_path) == 0
    told = capsys.readouterr().out
    # band: t(2) = 4.303 times 0.2 times sqrt(1/3 + 1/3) = 0.70, and 0.055 for the rounding: 0.76
    assert f"{value:.2f}" in told and "± 0.76" in told and "inside" in told
    assert f"assets/published/kdpl.csv line {line}" in told
    assert "published protocol" not in told


def test_a_number_far_from_it_is_outside_and_differences_are_listed(tmp_path, capsys):
    value, _ = published()
    far = round(100 * value) + 500
    write_records(tmp_path / "out", tmp_path / "data", {1: far - 20, 2: far, 3: far + 20}, epochs=20)
    assert reproduce(tmp_path) == 1
    told = capsys.readouterr().out
    assert "outside" in told
    rows = [line.split() for line in told.splitlines()]
    assert ["differs", "epochs", "20", "50"] in rows
    assert ["differs", "test", "images", "of", "ImageNetA", "10000", "7500"] in rows
    assert ["version", "of", "torch", "2.13.0", "not", "known"] in rows
    assert ["teacher", "open_clip:ViT-H-14-quickgelu/dfn5b", "open_clip:ViT-H-14-quickgelu/dfn5b"] in rows
    assert any(row[:3] == ["template", "of", "ImageNet"] for row in rows)


def test_a_missing_published_value_is_reported(tmp_path, capsys, monkeypatch):
    write_records(tmp_path / "out", tmp_path / "data", {1: 10, 2: 10, 3: 10})
    monkeypatch.setattr("tools.tables.cells.find_published", lambda *_: None)
    assert reproduce(tmp_path) == 0
    assert "not available" in capsys.readouterr().out


def test_a_failed_run_sets_the_exit_code_and_the_published_value_is_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tools.reproduce, "run_missing", lambda *_: ["a failure"])
    assert reproduce(tmp_path) == 1
    told = capsys.readouterr().out
    assert "missing" in told and f"{published()[0]:.2f}" in told and "published protocol" not in told


def test_a_dry_run_lists_runs_and_the_published_value_and_runs_nothing(tmp_path, capsys):
    assert reproduce(tmp_path, CELL, "--dry-run") == 0
    told = capsys.readouterr().out
    assert told.count("missing  unknown") == 3 and f"assets/published/kdpl.csv line {published()[1]}" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "cell, said",
    [
        ("domain_generalization CoOp imagenet_a", True),
        ("domain_generalization CoOp_KDPL-CA average", True),
        ("domain_generalization CLIP imagenetv2", True),
        ("domain_generalization teacher imagenet", True),
        ("domain_generalization PromptSRC_KDPL-CA imagenet_a", False),
        ("base2new MaPLe_KDPL average", True),
        ("cross_dataset CoOp dtd", False),  # of ViT-B/32
    ],
)
def test_a_cell_of_any_setting_finds_its_published_value(cell, said, tmp_path, capsys):
    assert reproduce(tmp_path, cell, "--dry-run") == 0
    assert ("assets/published/kdpl.csv line" in capsys.readouterr().out) == said


@pytest.mark.parametrize(
    "text, cell",
    [
        ("base2new CoOp dtd", Cell("base2new", "CoOp", "labels", "dtd")),
        ("cross_dataset MaPLe+KDPL-CA average", Cell("cross_dataset", "MaPLe", "kdpl_ca", "average")),
        ("few_shot CLIP dtd", Cell("few_shot", "CLIP", "zeroshot_student_generic", "dtd")),
        ("base2new teacher imagenet", Cell("base2new", "teacher", "zeroshot_teacher", "imagenet")),
    ],
)
def test_names_of_cells(text, cell):
    assert parse_cell(text) == cell


@pytest.mark.parametrize(
    "cell, flags, message",
    [
        ("base2new CoOp", (), 'write it as "<table> <method> <dataset>"'),
        ("base_to_new CoOp dtd", (), "no table 'base_to_new' .did you mean 'base2new'"),
        ("base2new CoOp_KDLP dtd", (), "no method 'CoOp_KDLP' .did you mean 'CoOp_KDPL'"),
        ("base2new CoOp dtdd", (), "no dataset 'dtdd' .did you mean 'dtd'"),
        ("base2new CoOp imagenet_a", (), "The table's datasets are imagenet, caltech101, .* imagenet_a is not among"),
        ("base2new VPT dtd", ("--student", "RN50"), "has this cell for ViT-B/32, but not for RN50"),
        ("few_shot CoOp average", (), "few_shot has no average"),
    ],
)
def test_errors_list_the_alternatives(cell, flags, message, tmp_path, capsys):
    assert reproduce(tmp_path, cell, *flags) == 2
    assert re.search(message, capsys.readouterr().err)
