"""The results of an evaluation, with values worked out by hand."""

import math

import pytest
import torch

from kdpl.evaluation import Counts, Outputs

# Probabilities 0.9, 0.82 and 0.82 of the first of two classes; of the last two images one belongs to the second.
LOGITS = torch.tensor([[math.log(9.0), 0.0], [math.log(0.82 / 0.18), 0.0], [math.log(0.82 / 0.18), 0.0]])
LABELS = torch.tensor([0, 1, 0])


def counted(per_image: bool = False) -> Counts:
    counts = Counts(["cat", "dog, large"], torch.device("cpu"), per_image)
    counts.add(LOGITS[:2], LABELS[:2], ["/data/photos/1.jpg", "/data/photos/2.jpg"])
    counts.add(LOGITS[2:], LABELS[2:], ["/elsewhere/3.jpg"])
    return counts


def test_calibration_error_and_confusion_of_a_case_worked_by_hand():
    result = counted().result()
    # Bins of 1/15: 0.9 is alone in one, 1 of 1 correct; 0.82 twice in another, 1 of 2 correct.
    # (|1 - 0.9| + |1 - 2 * 0.82|) / 3 = 0.74 / 3
    assert result["ece"] == pytest.approx(100 * 0.74 / 3, abs=1e-5)
    assert result["confusion"] == [[0, 0, 2], [1, 0, 1]]  # label, predicted, images
    assert (result["correct"], result["total"]) == (2, 3)
    assert result["macro_f1"] == pytest.approx(100 * (4 / 5 + 0) / 2)


def test_a_confidence_of_1_is_in_the_last_bin_and_half_precision_is_counted_exactly():
    counts = Counts(["cat", "dog"], torch.device("cpu"))
    counts.add(torch.tensor([[200.0, 0.0], [200.0, 0.0]], dtype=torch.float16), torch.tensor([0, 1]))
    assert counts.result()["ece"] == 50.0


def test_no_images_give_no_error_of_calibration():
    assert Counts(["cat"], torch.device("cpu")).result()["ece"] == 0.0


def test_outputs_for_other_classes_are_refused():
    outputs = Outputs.of([(["1.jpg"], None, torch.zeros(1, 3))], ["cat", "dog", "owl"])
    with pytest.raises(ValueError, match="The new classes are \\['owl'\\], not \\['dog'\\]"):
        next(outputs.part(None, "new", ["dog"]))


def test_the_file_of_images_has_a_line_for_each(tmp_path):
    counted(per_image=True).write_images(tmp_path / "predictions.csv", "/data")
    assert (tmp_path / "predictions.csv").read_text().splitlines() == [
        "path,label,class_1,probability_1,class_2,probability_2",
        'photos/1.jpg,cat,cat,0.900000,"dog, large",0.100000',
        'photos/2.jpg,"dog, large",cat,0.820000,"dog, large",0.180000',
        '/elsewhere/3.jpg,cat,cat,0.820000,"dog, large",0.180000',
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
