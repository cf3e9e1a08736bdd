"""Levels 2 and 3 of verification, with stand-ins for datasets, published accuracies and runs."""

import json
from pathlib import Path

import pytest

import tools.verify.__main__ as tool
from kdpl.clip.template_sets import CLIP_BENCHMARK_DATASETS, template_set
from tools.reproduce import main as reproduce
from tools.verify import cells, zero_shot

from .test_reproduce import here, published, write_records  # noqa: F401  here: the tool's own folder

COLUMNS = "model,dataset,template,accuracy,source\n"


@pytest.fixture
def clip_benchmark(tmp_path, monkeypatch):
    """A stand-in for the package clip_benchmark, with a file of templates like the real one's."""
    folder = tmp_path / "site" / "clip_benchmark" / "datasets"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    templates = {"caltech": ["a photo of a {c}.", "a {c}."]}
    (folder / "en_zeroshot_classification_templates.json").write_text(json.dumps(templates))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(CLIP_BENCHMARK_DATASETS, "Caltech101", "caltech")


def verify(tmp_path: Path, *arguments: object) -> tuple[int, dict[str, dict]]:
    """The exit code, and the checks of the report by name."""
    report = tmp_path / "verification.json"
    code = tool.main([*map(str, arguments), "--report", str(report), "--device", "cpu"])
    return code, {check["name"]: check for check in json.loads(report.read_text())["checks"]}


def test_level_2_compares_zero_shot_accuracies_with_published_ones(tmp_path, data, clip_benchmark, monkeypatch):
    correct, total = zero_shot.evaluate("demo:student", "Caltech101", ["a photo of a {}.", "a {}."], True, *CPU(data))
    rows = [
        f"demo:student,Caltech101,CLIP_benchmark ensemble ({correct}/{total}),{100 * correct / total:.3f},right",
        f"demo:student,Caltech101,a photo of a {{}}. (inferred),{0 if correct else 50},another template",
        "demo:student,EuroSAT,a photo of a {}. (inferred),40.0,a dataset that is not here",
    ]
    (tmp_path / "published.csv").write_text(COLUMNS + "\n".join(rows) + "\n")
    monkeypatch.setattr(zero_shot, "FILE", tmp_path / "published.csv")
    level = ("--level", 2, "--models", "demo:student", "--root", data)
    code, checks = verify(tmp_path, *level)
    exact = checks["demo:student on Caltech101, clip_benchmark:caltech"]
    assert (code, exact["status"]) == (0, "pass"), exact
    assert (exact["facts"]["correct"], exact["facts"]["published_counts"]) == (correct, [correct, total])
    inferred = checks["demo:student on Caltech101, generic"]
    assert inferred["status"] == "skipped" and "does not state its template" in inferred["message"]
    assert checks["demo:student on EuroSAT, generic"]["status"] == "skipped"

    off = f"demo:student,Caltech101,CLIP_benchmark ensemble ({correct}/{total}),{100 * correct / total + 0.2:.3f},off"
    (tmp_path / "published.csv").write_text(COLUMNS + off + "\n")
    code, checks = verify(tmp_path, *level)
    (check,) = checks.values()
    assert (code, check["status"]) == (1, "fail") and check["differences"]["points"] == pytest.approx(0.2, abs=1e-3)

    other_images = f"demo:student,Caltech101,CLIP_benchmark ensemble (1/{total + 1}),50.0,more images"
    (tmp_path / "published.csv").write_text(COLUMNS + other_images + "\n")
    (check,) = verify(tmp_path, *level)[1].values()
    assert check["status"] == "fail" and "these are not the same test images" in check["message"]


def CPU(data: Path) -> tuple:
    """Device, data root and precision for :func:`zero_shot.evaluate`."""
    import torch

    return torch.device("cpu"), data, "fp32"


def test_without_clip_benchmark_its_templates_are_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="pip install --no-deps clip-benchmark"):
        template_set("clip_benchmark:cars")
    with pytest.raises(ValueError, match="did you mean 'generic'"):
        template_set("generics")


def test_published_accuracies_have_their_exact_counts():
    rows = zero_shot.published_accuracies()
    exact = {(row.model, row.dataset): row for row in rows if row.counts}
    assert len(exact) == 24 and exact["ViT-B/32", "ImageNet"].counts == (31667, 50000)
    for row in exact.values():
        assert row.accuracy == pytest.approx(100 * row.counts[0] / row.counts[1], abs=6e-4)
    assert {row.templates for row in rows if not row.counts} == {"generic"}


@pytest.fixture
def cells_of_one_table(monkeypatch):
    monkeypatch.setattr(cells, "METRICS", {"domain_generalization": ("accuracy",)})


def test_level_3_runs_the_cheapest_cell_and_compares_it(tmp_path, cells_of_one_table):
    value, _ = published()
    correct = {seed: round(100 * value) + seed for seed in (1, 2, 3)}
    write_records(tmp_path / "out", tmp_path / "data", correct)  # these runs are finished, so the cell is the cheapest
    where = ("--root", tmp_path / "data", "--output", tmp_path / "out", "--student", "ViT-B/32")
    code, checks = verify(tmp_path, "--level", 3, "--cells", 2, *where)
    check = checks["domain_generalization CoOp_KDPL imagenet_a, ViT-B/32"]
    assert check["status"] == "pass" and f"published {value} inside" in check["message"], check
    check = checks["domain_generalization CoOp_KDPL imagenet, ViT-B/32"]  # the same counts are far from that cell's
    assert check["status"] == "fail" and "outside" in check["message"] and code == 1


def test_reproduce_lists_cells_with_published_values_and_what_they_cost(tmp_path, cells_of_one_table, capsys):
    assert reproduce(["--list", "--root", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    value, _ = published()
    (line,) = [line for line in lines if "CoOp_KDPL imagenet_a" in line and "ViT-B/32" in line]
    assert f"accuracy {value:.2f}" in line and "unknown" in line
    costs = [int(line.split()[-1].replace(",", "")) for line in lines[2:] if line.startswith('"')]
    assert len(costs) > 50 and costs == sorted(costs)


def test_reproduce_without_a_cell_says_what_to_name(capsys):
    assert reproduce([]) == 2 and "--list" in capsys.readouterr().err
