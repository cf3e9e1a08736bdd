"""Tables from hand-made records, with every number worked out by hand."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.tables.__main__ import main
from tools.tables.cells import Cell, Table
from tools.tables.comparison import method_of
from tools.tables.formats import comma_separated, latex, markdown, terminal
from tools.tables.headline import headline
from tools.tables.layouts import all_tables
from tools.tables.page import page
from tools.tables.protocols import results_of
from tools.tables.published import FILES, FOLDER, published_accuracies
from tools.tables.reading import read_runs
from tools.tables.seed_statistics import Sample, expected_band, harmonic_mean, paired_differences

from .conftest import ROOT
from .result_files import write_base_to_new, write_log, write_record, write_zero_shot


def tables_of(folder: Path, baseline: str | None = None, calibration_error: bool = False) -> list[Table]:
    return all_tables(results_of(read_runs([folder])[0]), baseline, calibration_error)


def cell(table: Table, method: str, column: str) -> Cell:
    """The cell of the only row with this method."""
    (row,) = (i for i, row in enumerate(table.rows) if method_of(row.setting) == method)
    return table.cells[row][[one.title for one in table.columns].index(column)]


def means(table: Table, method: str) -> list[float]:
    return [round(cell(table, method, column.title).sample.mean, 4) for column in table.columns]


# Arithmetic


def test_harmonic_mean_by_hand():
    assert harmonic_mean([80.0, 60.0]) == pytest.approx(2 * 80 * 60 / 140)  # 68.5714
    assert harmonic_mean([50.0, 50.0]) == 50.0
    assert harmonic_mean([80.0, 0.0]) == 0.0


def test_spread_is_the_sample_standard_deviation_and_one_seed_has_none():
    assert Sample({1: 70.0, 2: 72.0, 3: 77.0}).mean == 73.0
    assert Sample({1: 70.0, 2: 72.0, 3: 77.0}).spread == pytest.approx((26 / 2) ** 0.5)  # 9 + 1 + 16 over n - 1
    assert Sample({1: 70.0}).spread is None


def test_differences_are_of_the_seeds_that_both_have():
    found = paired_differences({1: 70.0, 2: 72.0, 4: 90.0}, {1: 69.0, 2: 68.0, 3: 10.0})
    assert dict(found.by_seed) == {1: 1.0, 2: 4.0}


def test_the_expected_band_by_hand():
    # s = 1, n = 3: t(2) = 4.3027, times sqrt(1/3 + 1/3) = 0.8165, plus 0.055
    assert expected_band(Sample({1: 70.0, 2: 71.0, 3: 72.0})) == pytest.approx(3.5682, abs=1e-4)
    # n = 2: s = 0.7071, t(1) = 12.7062, sqrt(1/2 + 1/3) = 0.9129
    assert expected_band(Sample({1: 70.0, 2: 71.0})) == pytest.approx(8.2566, abs=1e-3)
    assert expected_band(Sample({1: 70.0})) is None
    assert expected_band(Sample({None: 62.0}), learned=False) == 0.055


# Base to new


def test_base_to_new_joins_three_records_by_the_prompts(tmp_path):
    write_base_to_new(tmp_path / "1", "CoOp_KDPL", 1, base=800, new=600)
    write_base_to_new(tmp_path / "2", "CoOp_KDPL", 2, base=820, new=640)
    (table,) = tables_of(tmp_path)
    assert table.title == "Base to new: Shapes, 16 shots"
    # H of seed 1: 2 * 80 * 60 / 140 = 68.5714; of seed 2: 2 * 82 * 64 / 146 = 71.8904
    assert means(table, "CoOp + KDPL") == [81.0, 62.0, pytest.approx((68.5714 + 71.8904) / 2, abs=1e-4)]
    assert cell(table, "CoOp + KDPL", "base").sample.spread == pytest.approx(2**0.5)
    assert cell(table, "CoOp + KDPL", "harmonic mean").sample.spread == pytest.approx(3.319 / 2**0.5, abs=1e-3)


def test_base_and_new_classes_together_are_a_column_where_they_were_tested(tmp_path):
    for seed, together in ((1, 1100), (2, None)):  # an older run has no such evaluation
        write_base_to_new(tmp_path / f"{seed}", "CoOp_KDPL", seed, base=800, new=600, together=together)
    write_base_to_new(tmp_path / "dtd", "CoOp", 1, base=800, new=600, dataset="DescribableTextures")
    zero_shot = {("Shapes", "base"): (300, 1000), ("Shapes", "new"): (300, 1000), ("Shapes", "all"): (600, 2000)}
    write_zero_shot(tmp_path / "zero", zero_shot)
    textures, shapes = tables_of(tmp_path)
    assert [column.title for column in textures.columns] == ["base", "new", "harmonic mean"]
    assert [column.title for column in shapes.columns] == ["base", "new", "harmonic mean", "all classes"]
    together = cell(shapes, "CoOp + KDPL", "all classes")
    assert dict(together.sample.by_seed) == {1: 55.0} and together.missing_seeds == (2,)
    assert together.difference.mean == pytest.approx(25.0)


def test_the_calibration_error_is_a_column_on_request(tmp_path):
    for seed, ece in ((1, 4.0), (2, 6.0), (3, None)):  # an older record has none
        record = write_record(tmp_path / f"{seed}", seed=seed, scores={("Shapes", "all"): (500, 1000)})
        content = json.loads(record.read_text())
        content["evaluations"][0] |= {} if ece is None else {"ece": ece}
        record.write_text(json.dumps(content))
    assert "ECE" not in terminal(tables_of(tmp_path))
    (table,) = tables_of(tmp_path, calibration_error=True)
    error = cell(table, "CoOp + KDPL", "16, ECE")
    assert (error.sample.mean, error.sample.spread) == (5.0, pytest.approx(2**0.5)) and error.missing_seeds == (3,)
    assert cell(table, "CoOp + KDPL", "16").sample.mean == 50.0
    for render in (terminal, markdown, latex, page, comma_separated):
        assert "16, ECE" in render([table])
    assert "5.00 ± 1.41 (2 of 3)" in page([table])


def test_the_best_calibration_error_is_the_lowest(tmp_path):
    for trainer, ece in (("CoOp", 3.0), ("VPT", 2.0)):
        test = {"dataset": "Shapes", "split": "test", "correct": 500, "total": 1000, "ece": ece}
        write_record(tmp_path / trainer, trainer, evaluations=[test])
    (table,) = tables_of(tmp_path, calibration_error=True)
    assert [cell(table, trainer, "16, ECE").best for trainer in ("CoOp", "VPT")] == [False, True]


@pytest.mark.parametrize("shots, words", [(1, "1 shot"), (2, "2 shots"), (-1, "all images")])
def test_titles_tell_the_images_a_class(shots, words, tmp_path):
    for trainer in ("CoOp", "CoOp_KDPL", "VPT", "VPT_KDPL"):
        write_base_to_new(tmp_path / trainer, trainer, 1, base=800, new=600, shots=shots)
    (table,) = tables_of(tmp_path)
    assert table.title == f"Base to new: Shapes, {words}"
    assert f"KDPL minus the method with labels: base classes, {words}, demo:student" in page([table])


def test_kdpl_is_compared_with_its_method_seed_by_seed(tmp_path):
    for seed, labels, distilled in ((1, 600, 650), (2, 620, 650), (3, 700, 0)):
        write_base_to_new(tmp_path / f"coop{seed}", "CoOp", seed, base=900, new=labels)
        if distilled:
            write_base_to_new(tmp_path / f"kdpl{seed}", "CoOp_KDPL", seed, base=850, new=distilled)
    (table,) = tables_of(tmp_path)
    new = cell(table, "CoOp + KDPL", "new")
    assert dict(new.difference.by_seed) == {1: 5.0, 2: 3.0}  # not 65 - 64: seed 3 has no partner
    assert new.difference.spread == pytest.approx(2**0.5)
    assert new.missing_seeds == (3,)
    assert "65.00 ± 0.00 (2 of 3)" in terminal([table]) and "+4.00 ± 1.41" in terminal([table])
    assert "1 2 (not 3)" in terminal([table])


def test_without_the_method_kdpl_is_compared_with_the_zero_shot_student(tmp_path):
    write_base_to_new(tmp_path / "1", "CoOp_KDPL", 1, base=800, new=600)
    zero_shot = {("Shapes", "base"): (300, 1000), ("Shapes", "new"): (310, 1000)}
    write_zero_shot(tmp_path / "student", zero_shot)
    write_zero_shot(tmp_path / "teacher", zero_shot, backbone="demo:teacher", weights_sha256={"student": "bb" * 32})
    (table,) = tables_of(tmp_path)
    assert [row.setting.backbone for row in table.rows] == ["demo:student", "demo:teacher", "demo:student"]
    assert table.baselines == ["", "", "CLIP, zero-shot"]
    assert cell(table, "CoOp + KDPL", "new").difference.mean == pytest.approx(29.0)


def test_one_seed_has_no_spread_and_no_verdict(tmp_path):
    write_base_to_new(tmp_path / "1", "CoOp", 1, base=982, new=900, dataset="Caltech101", backbone="ViT-B/16")
    (table,) = tables_of(tmp_path)
    base = cell(table, "CoOp", "base")
    assert base.published.value == 98.0 and base.verdict == "one seed, no verdict"
    assert "98.20 " in terminal([table]) and "±" not in terminal([table]).split("Accuracy in percent")[0]


def test_a_split_that_differs_is_not_paired(tmp_path):
    write_base_to_new(tmp_path / "a", "CoOp", 1, base=900, new=600)
    write_base_to_new(tmp_path / "b", "CoOp_KDPL", 1, base=900, new=650, split_sha256="dd" * 32)
    (table,) = tables_of(tmp_path)
    assert not cell(table, "CoOp + KDPL", "new").difference
    assert any("not compared" in note for note in table.notes)


def test_the_best_of_a_column_is_marked_and_all_of_a_tie(tmp_path):
    for trainer, base, new in (("CoOp", 900, 600), ("VPT", 900, 610), ("MaPLe", 899, 610)):
        write_base_to_new(tmp_path / trainer, trainer, 1, base=base, new=new)
    (table,) = tables_of(tmp_path)
    best = {method: [cell(table, method, name).best for name in ("base", "new")] for method in ("CoOp", "VPT", "MaPLe")}
    assert best == {"CoOp": [True, False], "VPT": [True, True], "MaPLe": [False, True]}


def test_an_average_needs_every_dataset_of_a_seed(tmp_path):
    for dataset, base, new in (("Caltech101", 900, 800), ("EuroSAT", 700, 400)):
        write_base_to_new(tmp_path / dataset, "CoOp", 1, base=base, new=new, dataset=dataset)
    write_base_to_new(tmp_path / "vpt", "VPT", 1, base=900, new=800, dataset="EuroSAT")
    average, *_ = tables_of(tmp_path)
    assert average.title == "Base to new: average over 2 of 11 datasets, 16 shots"
    # As published tables do it: of the averages 80 and 60, not the mean of two harmonic means
    assert means(average, "CoOp") == [80.0, 60.0, pytest.approx(68.5714, abs=1e-4)]
    assert not cell(average, "VPT", "base").sample
    assert "missing" in terminal([average])


# What must not be mixed


@pytest.mark.parametrize(
    "facts",
    [
        {"visible": {"train_images": 32, "labels_used": False, "classnames": "vocabulary"}},
        {"visible": {"train_images": 32, "labels_used": True, "classnames": "dataset"}},
        {"teacher": "ViT-L/14"},
        {"backbone": "ViT-B/16"},
        {"weights_sha256": {"student": "ee" * 32}},
        {"config": {"OPTIM": {"MAX_EPOCH": 50}}},
    ],
    ids=["names", "labels", "teacher", "student", "weights", "epochs"],
)
def test_seeds_of_different_settings_are_different_rows(facts, tmp_path):
    scores = {("Shapes", "all"): (500, 1000)}
    write_record(tmp_path / "1", seed=1, scores=scores)
    write_record(tmp_path / "2", seed=2, scores=scores, **facts)
    (table,) = tables_of(tmp_path)
    assert [row.seeds for row in table.rows] in ([{1}, {2}], [{2}, {1}])
    first, second = terminal([table]).splitlines()[4:6]
    labels = [re.split(r"\s{2,}", line)[:3] for line in (first, second)]
    assert labels[0] != labels[1], "a reader must see in what the rows differ"


@pytest.mark.parametrize(("total", "classes"), [(900, 2), (1000, 3)], ids=["images", "class list"])
def test_results_on_other_test_sets_are_another_row(total, classes, tmp_path):
    write_record(tmp_path / "1", seed=1, scores={("Shapes", "all"): (500, 1000)}, classnames_sha256="2 names")
    write_record(tmp_path / "2", seed=2, scores={("Shapes", "all"): (500, total)}, classnames_sha256=f"{classes} names")
    (table,) = tables_of(tmp_path)
    assert [row.seeds for row in table.rows] == [{1}, {2}]
    assert all(row.differs for row in table.rows)


def test_records_that_disagree_are_named_and_none_is_chosen(tmp_path):
    for name, correct in (("old", 500), ("new", 600)):
        write_record(tmp_path / name, seed=1, scores={("Shapes", "all"): (correct, 1000)}, prompts=name)
    write_record(tmp_path / "other", seed=2, scores={("Shapes", "all"): (700, 1000)})
    (table,) = tables_of(tmp_path)
    assert dict(cell(table, "CoOp + KDPL", "16").sample.by_seed) == {2: 70.0}
    (note,) = (note for note in table.notes if "disagree" in note)
    assert str(tmp_path / "old" / "results.json") in note and str(tmp_path / "new" / "results.json") in note
    assert "70.00 (1 of 2, records disagree)" in terminal([table])


def test_a_copy_of_a_record_counts_once(tmp_path):
    write_base_to_new(tmp_path / "a", "CoOp", 1, base=900, new=600)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (table,) = tables_of(tmp_path)
    assert cell(table, "CoOp", "base").sample.n == 1 and not any("disagree" in note for note in table.notes)


def test_prompts_whose_training_is_not_there_are_a_row_that_says_so(tmp_path):
    write_base_to_new(tmp_path / "a", "CoOp", 1, base=900, new=600)
    scores = {("Shapes", "new"): (700, 1000)}
    write_record(tmp_path / "b", "CoOp", subsample="new", seed=2, evaluates=True, prompts="of somebody", scores=scores)
    (table,) = tables_of(tmp_path)
    assert len(table.rows) == 2
    assert "CoOp (training not found" in terminal([table]) and "not recorded" in terminal([table])


# Other protocols


def test_domain_generalisation_averages_over_the_shifted_sets(tmp_path):
    prompts = "of one training"
    write_record(tmp_path / "train", prompts=prompts)
    for dataset, correct in (("Shapes", 900), ("ShapesNight", 800), ("ShapesNoise", 700), ("ShapesSketch", 300)):
        write_record(
            tmp_path / dataset,
            dataset=dataset,
            evaluates=True,
            prompts=prompts,
            scores={(dataset, "all"): (correct, 1000)},
        )
    (table,) = tables_of(tmp_path)
    assert table.title == "Domain generalisation: prompts of Shapes, 16 shots"
    assert [column.title for column in table.columns][-1] == "average of 3"
    assert means(table, "CoOp + KDPL") == [90.0, 80.0, 70.0, 30.0, 60.0]  # 90 is the source, not averaged


def test_a_missing_shifted_set_leaves_no_average(tmp_path):
    scores = {("ImageNet", "all"): (620, 1000), ("ImageNetV2", "all"): (547, 1000)}
    write_record(tmp_path, dataset="ImageNet", backbone="ViT-B/32", scores=scores)
    (table,) = tables_of(tmp_path)
    assert not cell(table, "CoOp + KDPL", "average of 4").sample


def test_prompts_on_other_datasets_are_cross_dataset(tmp_path):
    scores = {("ImageNet", "all"): (620, 1000), ("EuroSAT", "all"): (400, 1000), ("UCF101", "all"): (600, 1000)}
    write_record(tmp_path, dataset="ImageNet", scores=scores)
    (table,) = tables_of(tmp_path)
    assert table.protocol == "cross-dataset" and means(table, "CoOp + KDPL") == [62.0, 40.0, 60.0, 50.0]


def test_few_shot_curves_have_a_column_for_each_number_of_shots(tmp_path):
    for shots, correct in ((1, 400), (16, 800)):
        write_record(tmp_path / str(shots), shots=shots, scores={("Shapes", "all"): (correct, 1000)})
    write_zero_shot(tmp_path / "zero", {("Shapes", "all"): (300, 1000)})
    (table,) = tables_of(tmp_path)
    assert [column.title for column in table.columns] == ["1", "2", "4", "8", "16"]
    assert [number.sample.mean if number.sample else None for number in table.cells[1]] == [
        40.0,
        None,
        None,
        None,
        80.0,
    ]
    assert cell(table, "CoOp + KDPL", "16").difference.mean == 50.0
    assert "<svg" in page([table])


def test_zero_shot_results_alone_make_a_table(tmp_path):
    write_zero_shot(tmp_path, {("Shapes", "all"): (300, 1000), ("Shapes", "new"): (310, 1000)})
    (table,) = tables_of(tmp_path)
    assert means(table, "CLIP, zero-shot") == [30.0, 31.0]


# Published values


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


def test_every_published_number_shown_leads_to_its_line(tmp_path):
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
    """Line by line; nothing was typed."""
    originals = set()
    for name in ("kdpl_tables.csv", "rivals.csv"):
        originals |= set((shared / "paper" / name).read_text(encoding="utf-8").splitlines())
    for name in FILES:
        assert set((FOLDER / name).read_text(encoding="utf-8").splitlines()) <= originals


def test_every_published_number_has_a_value_and_a_source():
    assert len(published_accuracies()) > 400
    assert all(0 < one.value < 100 and one.source for one in published_accuracies().values())


# Old logs of Dassl


def test_logs_of_dassl_are_read_with_their_configuration(tmp_path):
    for seed, base, new in ((1, 1480, 800), (2, 1500, 820)):
        trained = write_log(tmp_path / f"any{seed}", base, 1549, seed=seed).parent
        write_log(tmp_path / f"name{seed}", new, 916, subsample="new", seed=seed, eval_only=True, model_dir=trained)
    (table,) = tables_of(tmp_path)
    assert table.title == "Base to new: Caltech101, 16 shots"
    # From the exact counts, with the comma of "1,549": 95.5455 and 96.8367
    assert cell(table, "CoOp", "base").sample.mean == pytest.approx((148000 / 1549 + 150000 / 1549) / 2)
    assert cell(table, "CoOp", "harmonic mean").sample.n == 2
    assert "CoOp (Dassl log)" in terminal([table]) and "ViT-B/16" in terminal([table])


def test_a_log_of_a_training_that_was_not_tested_tells_what_the_tests_of_its_prompts_saw(tmp_path):
    log = write_log(tmp_path / "trained", 1, 2)
    text = log.read_text()
    log.write_text(text[: text.index("Evaluate on")] + "Finish training\n")
    for half in ("base", "new"):
        write_log(tmp_path / half, 900, 1000, subsample=half, eval_only=True, model_dir=tmp_path / "trained")
    write_log(tmp_path / "cut", 1, 2).write_text(text[: text.index("Evaluate on")])
    runs, problems = read_runs([tmp_path])
    assert len(runs) == 3 and "not finished" in problems[0]
    (table,) = tables_of(tmp_path)
    assert means(table, "CoOp") == [90.0, 90.0, 90.0] and "labels" in terminal([table])


def test_logs_without_a_configuration_are_told_by_coops_folders(tmp_path):
    result = "Evaluate on the *test* set\n=> result\n* total: 1,000\n* correct: {}\n* accuracy: 85.3%\n* error: 14.7%\n"
    for part, correct in (("train_base", 900), ("test_new", 800)):
        folder = tmp_path / "output" / "base2new" / part / "caltech101/shots_16/CoOp/vit_b16_ep50_ctxv1/seed3"
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text(result.format(correct))
    (table,) = tables_of(tmp_path)
    assert means(table, "CoOp")[:2] == [90.0, 80.0] and table.seeds == [3]


def test_of_a_log_the_last_test_result_counts_and_rounded_accuracy_where_there_are_no_counts(tmp_path):
    folder = tmp_path / "caltech101/shots_16/CoOp/cfg/seed1"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(
        "".join(
            f"Evaluate on the *{part}* set\n=> result\n* accuracy: {accuracy}%\n"
            for part, accuracy in (("val", 11.1), ("test", 60.0), ("test", 85.3), ("val", 22.2))
        )
    )
    (table,) = tables_of(tmp_path)
    assert cell(table, "CoOp", "16").sample.mean == 85.3


def test_where_a_record_is_the_log_beside_it_is_not_read(tmp_path):
    write_record(tmp_path, scores={("Shapes", "all"): (500, 1000)})
    write_log(tmp_path, 1, 1000)
    assert [run.path.name for run in read_runs([tmp_path])[0]] == ["results.json"]


def test_logs_and_records_are_never_in_one_row(tmp_path):
    write_log(tmp_path / "log", 900, 1000, subsample="all", seed=1)
    write_record(
        tmp_path / "record",
        "CoOp",
        "Caltech101",
        seed=2,
        backbone="ViT-B/16",
        scores={("Caltech101", "all"): (900, 1000)},
    )
    (table,) = tables_of(tmp_path)
    assert sorted(row.seeds for row in table.rows) == [{1}, {2}] or [row.seeds for row in table.rows] == [{2}, {1}]


# Formats and the command


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in (1, 2):
        write_base_to_new(tmp_path / f"coop{seed}", "CoOp", seed, base=900 + seed, new=600)
        write_base_to_new(tmp_path / f"kdpl{seed}", "CoOp_KDPL", seed, base=850, new=650 + seed)
    write_record(
        tmp_path / "other", seed=1, backbone=r"odd_name&50%$#{}~^\ <b>|x|*", scores={("Shapes", "all"): (500, 1000)}
    )
    return tmp_path


def test_the_command_prints_tables_and_writes_the_other_formats(folder, capsys):
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "Base to new: Shapes, 16 shots" in out and "harmonic mean" in out
    names = {path.name for path in (folder / "tables").iterdir()}
    assert names == {"tables.md", "tables.tex", "tables.csv", "tables.html"}


def test_one_format_is_printed_alone(folder, capsys):
    assert main([str(folder), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["column"] for row in rows} >= {"base", "new", "harmonic mean"}
    assert not (folder / "tables").exists()


def test_all_formats_show_the_same_numbers(folder):
    tables = tables_of(folder)
    texts = [render(tables) for render in (terminal, markdown, latex, page)]
    numbers = {f"{one.sample.mean:.2f}" for table in tables for cells in table.cells for one in cells if one.sample}
    assert "90.15" in numbers and "65.15" in numbers
    assert all(number in text for number in numbers for text in texts)


def test_the_page_needs_nothing_but_itself(folder):
    html = page(tables_of(folder))
    assert html.count("<svg") >= 1 and "<link" not in html
    assert not re.search(r"""(src|href)=(?!["']?(#|data:))|url\((?!#)|@import""", html)
    assert "<b>" not in html and "&lt;b&gt;" in html
    assert "odd_name&amp;50%" in html


def test_the_page_begins_with_the_main_result(folder):
    write_record(folder / "zs", "ZeroshotCLIP", subsample="base", scores={("Shapes", "base"): (400, 1000)})
    write_record(folder / "zs2", "ZeroshotCLIP", subsample="new", scores={("Shapes", "new"): (400, 1000)})
    tables = tables_of(folder)
    (mean,) = {f"{2 * 85 * 65.15 / (85 + 65.15):.1f}"}  # of CoOp + KDPL, about: CoOp has 90 and 60
    assert headline(tables).replace("\N{NO-BREAK SPACE}", " ") == (
        f"CoOp + KDPL is best: harmonic mean {mean} % with demo:student, {float(mean) - 40:.1f} points above zero-shot "
        "CLIP (base to new: Shapes, 16 shots)."
    )
    html = page(tables)
    headings = re.findall(r'<th scope="col">(.*?)</th>', html)
    assert headings[:3] == ["harmonic mean", "base", "new"]  # the first is what a phone shows
    assert 'title="seed 1: 65.10 %, seed 2: 65.20 %"' in html


def test_the_page_has_the_other_formats_to_download_and_links_to_its_runs(folder):
    assert main([str(folder)]) == 0
    html = (folder / "tables" / "tables.html").read_text()
    content = {
        name: base64.b64decode(text).decode()
        for name, text in re.findall(r'download="([\w.]+)" href="data:text/plain;base64,([^"]*)"', html)
    }
    assert content == {name: (folder / "tables" / name).read_text() for name in ("tables.csv", "tables.tex")}
    links = re.findall(r'<a href="(\.\./[^"]*results.json)"', html)
    assert len(links) == 9 and all((folder / "tables" / link).is_file() for link in links)


def test_a_single_point_is_no_plot(tmp_path):
    write_base_to_new(tmp_path, "CoOp_KDPL", 1, base=900, new=600)
    assert "<svg" not in page(tables_of(tmp_path)) and "Plots" not in page(tables_of(tmp_path))


def test_the_latex_document_compiles(folder, tmp_path):
    (tmp_path / "tables.tex").write_text(latex(tables_of(folder)), encoding="utf-8")
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("needs pdflatex (Debian: texlive-latex-base, texlive-latex-recommended)")
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 1000 and "Overfull" not in done.stdout


def test_latex_rows_have_as_many_cells_as_columns_and_braces_close(folder):
    document = latex(tables_of(folder))
    unescaped = re.sub(r"\\[{}&%$#_]", "", document)
    assert unescaped.count("{") == unescaped.count("}")
    for tabular in re.findall(r"\\begin\{tabular\}\{(l+r+)\}(.*?)\\end\{tabular\}", unescaped, re.DOTALL):
        rows = [line for line in tabular[1].splitlines() if line.endswith(r"\\")]
        assert rows and all(line.count("&") == len(tabular[0]) - 1 for line in rows)


def test_no_records_is_an_error_that_says_where_and_what_to_run(tmp_path):
    command = [sys.executable, "-m", "tools.tables", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert str(tmp_path) in done.stderr and "bash scripts/kdpl/base2new.sh shapes 1" in done.stderr


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "absent")]) == 2
    assert str(tmp_path / "absent") in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_rest_shown(folder, capsys):
    broken = {"cut": '{"format": 1', "other": "[]", "running": json.dumps({"format": 1, "status": "running"})}
    for name, text in broken.items():
        (folder / f"x{name}").mkdir()
        (folder / f"x{name}" / "results.json").write_text(text)
    assert main([str(folder), "--format", "csv"]) == 0
    error = capsys.readouterr().err
    assert all(str(folder / f"x{name}" / "results.json") in error for name in broken)


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "python -m tools.tables --format latex > tables.tex" in capsys.readouterr().out
