"""Tables of earlier runs that left only Dassl's log."""

import pytest

from tools.tables.formats import terminal
from tools.tables.reading import read_runs

from .result_files import cell, means, tables_of, write_log, write_record


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


def test_the_log_of_an_untested_training_describes_the_tests_of_its_prompts(tmp_path):
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


def test_the_last_test_result_of_a_log_is_used_and_its_rounded_accuracy_if_there_are_no_counts(tmp_path):
    log = write_log(tmp_path, 1, 2, subsample="all")
    text = log.read_text()
    results = (("val", 11.1), ("test", 60.0), ("test", 85.3), ("val", 22.2))
    told = (f"Evaluate on the *{part}* set\n=> result\n* accuracy: {accuracy}%\n" for part, accuracy in results)
    log.write_text(text[: text.index("Evaluate on")] + "".join(told))
    (table,) = tables_of(tmp_path)
    assert cell(table, "CoOp", "16").sample.mean == 85.3


def test_a_log_without_a_configuration_is_left_out(tmp_path):
    log = write_log(tmp_path / "a" / "CoOp" / "seed1", 1, 2)
    log.write_text("Evaluate on the *test* set\n=> result\n* accuracy: 85.3%\n")
    write_log(tmp_path / "b", 1, 2)
    runs, problems = read_runs([tmp_path])
    assert len(runs) == 1 and "does not say what was run: its configuration lacks 'TRAINER'" in problems[0]


def test_a_log_beside_a_record_is_not_read(tmp_path):
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
