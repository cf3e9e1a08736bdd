"""Published values compared with ours."""

import csv
import io
from pathlib import Path

import pytest

from tools.tables.formats import comma_separated, latex, markdown, terminal
from tools.tables.page import page
from tools.tables.published import FILES, FOLDER, published_accuracies

from .conftest import ROOT
from .result_files import cell, tables_of, write_base_to_new, write_record


def write_domain_generalisation(folder: Path, correct: dict[str, tuple[int, ...]], trainer: str = "CoOp", **facts):
    for dataset, of_seeds in correct.items():
        for seed, value in enumerate(of_seeds, start=1):
            write_record(
                folder / f"{dataset}{seed}", trainer, "ImageNet", seed=seed, backbone="ViT-B/32", prompts=str(seed),
                scores={(dataset, "all"): (value, 10000)}, **facts,
            )  # fmt: skip


def published_value(method: str, dataset: str) -> float:
    known = published_accuracies()
    return known["domain_generalization", "ViT-B/32", method, dataset, "top1_accuracy"].value


def test_inside_and_outside_the_expected_band(tmp_path):
    def seeds(dataset: str, above: int) -> tuple[int, ...]:
        """Correct of 10,000 images: hundredths of a point, with a spread of 0.1 points."""
        middle = round(100 * published_value("CoOp", dataset)) + above
        return middle - 10, middle, middle + 10

    # The band is 0.055 + 4.303 * 0.1 * 0.8165 = 0.4063
    write_domain_generalisation(tmp_path, {"ImageNetV2": seeds("ImageNetV2", 40), "ImageNetR": seeds("ImageNetR", 41)})
    (table,) = tables_of(tmp_path)
    assert cell(table, "CoOp", "ImageNetV2").verdict == "inside"
    assert cell(table, "CoOp", "ImageNetR").verdict == "outside"
    assert cell(table, "CoOp", "ImageNetV2").band == pytest.approx(0.4063, abs=1e-4)


def test_another_teacher_gets_the_published_value_and_no_verdict(tmp_path):
    write_domain_generalisation(tmp_path / "a", {"ImageNetV2": (5600, 5610)}, "CoOp_KDPL", teacher="ViT-L/14")
    (table,) = tables_of(tmp_path)
    assert cell(table, "CoOp + KDPL", "ImageNetV2").verdict == "published with another teacher"


def test_the_demo_has_no_published_values(tmp_path):
    write_base_to_new(tmp_path / "1", "CoOp", 1, base=800, new=600)
    (table,) = tables_of(tmp_path)
    assert "Published values: not available for any cell of this table." in table.notes


def test_every_published_number_shown_refers_to_its_line(tmp_path):
    write_domain_generalisation(tmp_path / "dg", {"ImageNetV2": (5600, 5610), "ImageNetA": (3000, 3010)})
    write_base_to_new(tmp_path / "b2n", "CoOp", 1, base=982, new=900, dataset="Caltech101", backbone="ViT-B/16")
    tables = tables_of(tmp_path)
    shown = [row for row in csv.DictReader(io.StringIO(comma_separated(tables))) if row["published_line"]]
    assert len(shown) == 3 + 3  # the average of four is shown where ours is missing, too
    for row in shown:
        lines = (ROOT / row["published_file"]).read_text(encoding="utf-8").splitlines()
        entry = next(csv.DictReader([lines[0], lines[int(row["published_line"]) - 1]]))
        assert float(entry["value"]) == float(row["published"]) and entry["source"] == row["published_source"]
        mark = f"[{'abc'[FILES.index(Path(row['published_file']).name)]}{row['published_line']}]"
        for render in (terminal, markdown, latex, page):
            assert mark in render(tables)


def test_published_numbers_are_those_of_the_sources(shared):
    """Line by line, so nothing was mistyped."""
    originals = set()
    for name in ("kdpl_tables.csv", "rivals.csv"):
        originals |= set((shared / "paper" / name).read_text(encoding="utf-8").splitlines())
    for name in FILES:
        assert set((FOLDER / name).read_text(encoding="utf-8").splitlines()) <= originals


def test_every_published_number_has_a_value_and_a_source():
    assert len(published_accuracies()) > 400
    assert all(0 < one.value < 100 and one.source for one in published_accuracies().values())
