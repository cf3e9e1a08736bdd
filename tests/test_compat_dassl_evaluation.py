"""Accuracy, macro F1 and confusion of a case worked out by hand."""

import pytest
import torch

import compat  # noqa: F401

# isort: split
from dassl.config import get_cfg_default
from dassl.evaluation import build_evaluator
from dassl.metrics import compute_accuracy

LABELS = torch.tensor([0, 0, 0, 1, 1])
PREDICTED = torch.tensor([0, 0, 1, 1, 2])
LOGITS = torch.nn.functional.one_hot(PREDICTED, 3).float()


def evaluator(**changes: object):
    cfg = get_cfg_default()
    cfg.merge_from_list([part for key, value in changes.items() for part in (f"TEST.{key}", value)])
    return build_evaluator(cfg, lab2cname={0: "cat", 1: "dog", 2: "cow"})


def test_results_and_their_lines(capsys):
    classification = evaluator(PER_CLASS_RESULT=True)
    classification.process(LOGITS[:3], LABELS[:3])
    classification.process(LOGITS[3:], LABELS[3:])
    results = classification.evaluate()
    # cat: 2 hits, 3 images, 2 predictions, F1 = 4 / 5; dog: 1 hit, 2 images, 2 predictions, F1 = 2 / 4; no cow
    assert results == pytest.approx(
        {"accuracy": 60.0, "error_rate": 40.0, "macro_f1": 65.0, "perclass_accuracy": (200 / 3 + 50) / 2}
    )
    assert next(iter(results)) == "accuracy"
    assert capsys.readouterr().out.splitlines()[1:] == [
        "=> result",
        "* total: 5",
        "* correct: 3",
        "* accuracy: 60.0%",
        "* error: 40.0%",
        "* macro_f1: 65.0%",
        "=> per-class result",
        "* class: 0 (cat)\ttotal: 3\tcorrect: 2\tacc: 66.7%",
        "* class: 1 (dog)\ttotal: 2\tcorrect: 1\tacc: 50.0%",
        "* average: 58.3%",
    ]


def test_thousands_are_separated(capsys):
    classification = evaluator()
    classification.process(LOGITS[:1].expand(1234, 3), LABELS[:1].expand(1234))
    classification.evaluate()
    assert "* total: 1,234\n* correct: 1,234\n* accuracy: 100.0%\n" in capsys.readouterr().out


def test_reset_forgets():
    classification = evaluator(PER_CLASS_RESULT=True)
    classification.process(LOGITS, LABELS)
    classification.reset()
    classification.process(LOGITS[:1], LABELS[:1])
    assert classification.evaluate()["perclass_accuracy"] == 100.0
    classification.reset()
    with pytest.raises(ValueError, match="no image"):
        classification.evaluate()


def test_the_confusion_matrix_is_written(tmp_path):
    classification = evaluator(COMPUTE_CMAT=True)
    classification.cfg.OUTPUT_DIR = str(tmp_path)
    classification.process(LOGITS, LABELS)
    classification.evaluate()
    matrix = torch.load(tmp_path / "cmat.pt", weights_only=True)
    assert matrix.tolist() == [pytest.approx([2 / 3, 1 / 3, 0]), pytest.approx([0, 0.5, 0.5]), [0, 0, 0]]


def test_unknown_evaluators_are_refused_with_what_exists():
    with pytest.raises(ValueError, match=r"'Detection'.*\['Classification'\]"):
        evaluator(EVALUATOR="Detection")


def test_top_k_accuracy():
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    top1, top2, top3 = compute_accuracy(logits, torch.tensor([0, 2]), topk=(1, 2, 3))
    assert (top1.tolist(), top2.tolist(), top3.tolist()) == ([50.0], [100.0], [100.0])
    assert compute_accuracy([logits, "more"], torch.tensor([1, 1]))[0].item() == 50.0
