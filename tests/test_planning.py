"""Plans: the cost of a training run, predicted from a short calibration."""

import json

import pytest
import torch

from kdpl.__main__ import main as kdpl_main
from kdpl.methods import METHODS
from kdpl.planning import Planner, Workload
from tests.conftest import ROOT
from tests.tiny_datasets import write_jpeg
from tools import cards
from tools.sweep.__main__ import main as sweep
from tools.sweep.forecast import forecast
from tools.sweep.plan import plan
from tools.sweep.spec import parse_spec

WORK = Workload(
    "CoOp", (("n_ctx", 4), ("class_specific", False), ("ctx_init", "a photo of a"), ("class_token_position", "end")),
    "demo:student", "demo:teacher", n_classes=12, batch_size=8, n_images=192, n_test=960, epochs=10, views=10,
    cache_bytes=4, images="shapes", tested_on="shapes",
)  # fmt: skip


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner(torch.device("cpu"))


def test_what_the_cache_has_by_then_costs_nothing(planner):
    first, second = planner.forecast(WORK), planner.forecast(WORK)
    assert first.first_epoch > 2 * first.later_epoch > 0  # the two image towers are most of a step
    assert first.disk == 10 * 192 * (4 * (64 + 64) + 40)
    assert second.disk == 0 and second.total < first.total / 2
    longer = planner.forecast(WORK._replace(epochs=12, views=12))
    assert longer.disk == pytest.approx(first.disk / 5)
    assert planner.forecast(WORK._replace(cache_bytes=0)).total == pytest.approx(first.total)


def test_costs_grow_with_classes_and_images_and_shrink_with_views(planner):
    plain = WORK._replace(cache_bytes=0)
    base, more = planner.forecast(plain), planner.forecast(plain._replace(n_classes=1000))
    assert more.later_epoch > 3 * base.later_epoch and more.memory > base.memory > 10**8
    assert planner.forecast(plain._replace(n_images=384)).first_epoch == pytest.approx(2 * base.first_epoch)
    few = planner.forecast(plain._replace(views=2)).total
    assert base.later_epoch * 10 < few < base.total
    assert planner.forecast(plain._replace(n_classes=10**7)).in_chunks and not base.in_chunks


def test_images_of_an_incomplete_batch_cost_nothing(planner):
    work = WORK._replace(batch_size=32, n_images=63, cache_bytes=0)
    whole = planner.forecast(work._replace(n_images=32))
    assert planner.forecast(work) == whole
    assert planner.forecast(work._replace(n_images=31)).first_epoch < whole.first_epoch  # the only batch is not dropped
    assert planner.forecast(work._replace(cache_bytes=4, images="others")).disk == 10 * 32 * (4 * (64 + 64) + 40)


@pytest.mark.parametrize("method", ["CoOp", "VPT"])
def test_an_evaluation_alone_is_one_pass_over_its_images(method, planner):
    work = WORK._replace(method=method, epochs=0, cache_bytes=0)
    found = planner.forecast(work)
    assert found.first_epoch == found.disk == 0
    assert planner.forecast(work._replace(n_test=2 * work.n_test)).total == pytest.approx(2 * found.total)


def test_more_classes_than_fit_are_recomputed_and_take_no_more_memory(planner):
    work = WORK._replace(method="CoOp", n_classes=2000, cache_bytes=0)
    at_once = planner.classes_at_once(work, 10**8)
    assert 64 < at_once < 2000 == planner.classes_at_once(work, 10**12)
    bounded = planner.beside_the_process(work, 10**8)
    assert bounded == planner.beside_the_process(work._replace(n_classes=4000), 10**8)
    assert bounded < planner.beside_the_process(work, 10**12)


def test_the_page_of_cards_says_what_fits(monkeypatch, capsys):
    monkeypatch.setattr(cards, "METHODS", {"CoOp": METHODS["CoOp"]})
    monkeypatch.setattr(cards, "CARDS", (0.01, 0.06, 100))
    monkeypatch.setattr(cards, "CONTEXT", 0)
    assert cards.main(["--student", "tiny", "--teacher", "tiny"]) == 0
    page = capsys.readouterr().out
    assert "Predicted, not measured on a card" in page
    *_, imagenet = (line for line in page.splitlines() if "ImageNet (1000)" in line)
    smallest, small, large = (cell.strip() for cell in imagenet.split("|")[4:7])
    assert smallest == "-" and small.endswith("at once") and float(large) < 0.5
    assert "at once" not in next(line for line in page.splitlines() if "EuroSAT (10)" in line)


def test_tests_on_base_new_and_all_classes_are_planned_as_one(monkeypatch, tmp_path):
    planned = []

    class Planned(Planner):
        def forecast(self, work):
            planned.append(work)
            return super().forecast(work)

    monkeypatch.setattr("tools.sweep.forecast.Planner", Planned)
    monkeypatch.chdir(ROOT)
    spec = {"students": {"demo:student": ["CoOp"]}, "protocol": "base2new", "datasets": "shapes", "settings": "kdpl"}
    forecast(plan(parse_spec({**spec, "seeds": 1}), tmp_path, tmp_path))
    assert [(work.epochs > 0, work.n_classes, work.n_test) for work in planned] == [(True, 48, 0), (False, 96, 1920)]


def test_train_py_the_sweep_and_the_library_plan_and_write_nothing(run_train, tmp_path, capsys):
    shared = ("--root", tmp_path / "data", "--output-dir", tmp_path / "run", "--trainer", "CoOp_KDPL")
    files = (
        "--dataset-config-file", ROOT / "configs/datasets/shapes.yaml",
        "--config-file", ROOT / "configs/trainers/CoOp_KDPL/demo.yaml",
    )  # fmt: skip
    planned = run_train(*shared, *files, "--plan", "TRAINER.KDPL.CACHE_DIR", tmp_path / "cache")
    assert planned.returncode == 0, planned.stderr
    assert "first epoch" in planned.stdout and "CoOp_KDPL" in planned.stdout
    assert list(tmp_path.iterdir()) == []

    spec = tmp_path / "spec.yaml"
    students = {"demo:student": ["CoOp", "VPT"]}
    block = {"protocol": "base2new", "datasets": "shapes", "settings": ["kdpl", "labels"], "seeds": [1, 2]}
    spec.write_text(json.dumps({"students": students, **block}))
    assert sweep([str(spec), "--plan", "--root", str(tmp_path / "data"), "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 4 + 1 and all("2 x " in line for line in lines[1:5]) and "total: " in lines[-1]

    for i in range(3):
        write_jpeg(tmp_path / "photos" / f"{i}.jpg", i, (80, 70))
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    arguments = ["train", tmp_path / "photos", "--classnames", names, "--plan", "--device", "cpu"]
    demo = ["--student", "demo:student", "--teacher", "demo:teacher", "--output", tmp_path / "prompts.safetensors"]
    assert kdpl_main([str(argument) for argument in arguments + demo]) == 0
    assert "CoOp on 3 photos" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["names.txt", "photos", "spec.yaml"]
