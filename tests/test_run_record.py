"""Records of runs are read as they were written; one place knows what a setting changes."""

import json

import pytest

from kdpl.run_record import FILE_NAME, RunRecord, Unfinished, Visible, finished_record, read_record
from tools.tables.records import setting_of
from trainers.kdpl.config import Changes, changes, default_settings, of_evaluation, of_result, settings_of

FACTS = {"mode": "train", "trainer": "CoOp_KDPL", "dataset": "DTD", "seed": 1, "shots": 16, "backbone": "RN50"}


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = RunRecord(**FACTS, teacher="ViT-L/14", visible=Visible(32, False, "dataset"), classnames_sha256="names")
    record.add_evaluation("test", {"correct": 3, "total": 4, "accuracy": 75.0, "macro_f1": 70.0, "per_class": []})
    with record.phase("train"):
        pass
    record.write(tmp_path)
    content = json.loads((tmp_path / FILE_NAME).read_text())
    assert content["format"] == 1 and content["status"] == "finished"
    assert content["visible"] == {"train_images": 32, "labels_used": False, "classnames": "dataset"}
    assert content["evaluations"] == [
        {"dataset": "DTD", "split": "test", "subsample": "all", "correct": 3, "total": 4, "accuracy": 75.0}
        | {"macro_f1": 70.0, "per_class": []}
    ]
    assert "agreement" not in content and content["prompts_sha256"] is None
    found = read_record(tmp_path / FILE_NAME)
    assert found.evaluations[0].classnames_sha256 == "names"  # the record's, as it is on the record's own classes
    found.evaluations[0].classnames_sha256 = None
    assert found == record


def test_keys_of_later_versions_are_ignored(tmp_path):
    (tmp_path / FILE_NAME).write_text(json.dumps({"format": 1, "status": "finished", "later": 1, **FACTS}))
    assert read_record(tmp_path / FILE_NAME) == RunRecord(**FACTS)


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "cannot be read"),
        ("[]", "is not a record in the known format 1"),
        ('{"format": 1, "status": "running"}', "is not finished"),
        ('{"format": 1, "status": "finished"}', "is incomplete"),
    ],
)
def test_anything_but_a_record_is_named(text, said, tmp_path):
    file = tmp_path / FILE_NAME
    file.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        read_record(file)
    if error.type is Unfinished:
        assert finished_record(file) is None
    else:
        with pytest.raises(ValueError, match=f"{file} is not a valid run record: it {said}"):
            finished_record(file)
    assert finished_record(tmp_path / "absent" / FILE_NAME) is None


@pytest.mark.parametrize(
    "key, what",
    [
        ("OPTIM.LR", Changes.TRAINING),
        ("TRAIN.COUNT_ITER", Changes.TRAINING),
        ("TRAIN.PRINT_FREQ", Changes.NOTHING),
        ("TRAINER.KDPL.TEACHER", Changes.TRAINING),
        ("TRAINER.COOP.N_CTX", Changes.BOTH),
        ("DATASET.TEMPLATE", Changes.BOTH),
        ("DATASET.ROOT", Changes.NOTHING),
        ("TEST.SPLIT", Changes.EVALUATION),
        ("TEST.FINAL_MODEL", Changes.TRAINING),
    ],
)
def test_what_another_value_of_a_setting_changes(key, what):
    assert changes(key) == what
    assert (key in settings_of(nested(key))) == bool(what)
    evaluated = of_evaluation(settings_of(nested(key)) | {"TRAINER.NAME": "CoOp"})
    assert (key in evaluated) == (Changes.EVALUATION in what)


def nested(key: str) -> dict:
    *nodes, last = key.split(".")
    content = {last: 1}
    for node in reversed(nodes):
        content = {node: content}
    return content


def test_zero_shot_clip_depends_on_no_settings_of_methods_and_of_training():
    keys = of_result("ZeroshotCLIP", {}, class_agnostic=False)
    assert "INPUT.SIZE" in keys and "DATASET.TEMPLATE" in keys
    assert not [key for key in keys if key.startswith(("TRAINER.", "OPTIM.", "DATALOADER.TEST.", "TEST.SPLIT"))]


def test_an_old_record_without_a_setting_shares_a_row_with_a_new_one_that_has_its_default():
    old = RunRecord(**FACTS, config={"TRAINER": {"COOP": {"N_CTX": 16}}, "OPTIM": {"LR": 0.002}})
    new = RunRecord(**FACTS, config={"TRAINER": {"COOP": {"CSC": False}}, "OPTIM": {"LR": 0.002}})
    assert default_settings()["TRAINER.COOP.N_CTX"] == 16
    assert setting_of(old) == setting_of(new)
    new.config["TRAINER"]["COOP"]["CSC"] = True
    assert setting_of(old) != setting_of(new)
