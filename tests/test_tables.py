"""Tables from hand-made records, with every number worked out by hand."""

import json
import re
import shutil

import pytest

from tools.tables.__main__ import main
from tools.tables.formats import comma_separated, latex, markdown, terminal
from tools.tables.page import page

from .result_files import cell, means, tables_of, write_base_to_new, write_record, write_zero_shot

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
def test_titles_state_the_images_per_class(shots, words, tmp_path):
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


def test_the_best_of_a_column_is_marked_including_ties(tmp_path):
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


def test_prompts_without_their_training_are_a_row_that_says_so(tmp_path):
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


def test_an_unknown_baseline_is_refused_and_one_without_results_is_not(tmp_path, capsys):
    write_base_to_new(tmp_path / "1", "CoOp", 1, base=900, new=600)
    assert main([str(tmp_path), "--baseline", "ZeroshotClip"]) == 2
    said = capsys.readouterr()
    assert "There is no trainer 'ZeroshotClip' (did you mean 'ZeroshotCLIP'" in said.err and not said.out
    assert not (tmp_path / "tables").exists()
    assert main([str(tmp_path), "--baseline", "VPT_KDPL", "--format", "markdown"]) == 0
