"""Results of prompts on a student other than their own never appear in the row of their training."""

import pytest

from tools.tables.layouts import all_tables
from tools.tables.protocols import results_of
from tools.tables.reading import read_runs

from .result_files import write_record

SCORES = {("Shapes", "base"): (600, 1000)}


@pytest.mark.parametrize(
    "other",
    [
        {"weights_sha256": {"student": "bb" * 32}},  # records of the first edition identify only the file
        {"weights_sha256": {"student": "aa" * 32}, "student_fingerprint": "another"},
    ],
)
def test_an_evaluation_on_another_student_is_a_row_of_its_own(other, tmp_path):
    write_record(tmp_path / "train", subsample="base", prompts="p", student_fingerprint="one")
    common = {"subsample": "base", "prompts": "p", "evaluates": True, "scores": SCORES, "student_fingerprint": None}
    write_record(tmp_path / "test", backbone="ViT-B/16", **common | other)
    (row,) = (row for table in all_tables(results_of(read_runs([tmp_path])[0])) for row in table.rows)
    assert row.setting.backbone == "ViT-B/16"
    assert "a different student" in row.setting.origin


def test_another_file_of_the_same_weights_is_the_same_student(tmp_path):
    write_record(tmp_path / "train", subsample="base", prompts="p", student_fingerprint="one")
    write_record(
        tmp_path / "test", subsample="base", prompts="p", evaluates=True, scores=SCORES,
        student_fingerprint="one", weights_sha256={"student": "bb" * 32},
    )  # fmt: skip
    (row,) = (row for table in all_tables(results_of(read_runs([tmp_path])[0])) for row in table.rows)
    assert row.setting.labels_used is False and not row.setting.origin
