"""The losses, against values worked out by hand."""

import math

import pytest
import torch

from kdpl.distillation.losses import kl_divergences, self_consistency, symmetric_kl


def test_symmetric_kl_of_a_case_worked_by_hand():
    student = torch.tensor([[0.0, 0.0]])  # probabilities 1/2, 1/2
    teacher = torch.tensor([[math.log(3.0), 0.0]])  # probabilities 3/4, 1/4
    forward, reverse = kl_divergences(student, teacher)
    assert forward.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), abs=1e-6)
    assert reverse.item() == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2), abs=1e-6)
    assert symmetric_kl(student, teacher).item() == pytest.approx(0.1373, abs=1e-4)


def test_symmetric_kl_is_a_mean_over_the_batch():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    one = symmetric_kl(student, teacher)
    same = torch.tensor([[1.0, 2.0]])
    half = symmetric_kl(torch.cat([student, same]), torch.cat([teacher, same]))
    assert half.item() == pytest.approx(one.item() / 2, abs=1e-6)


def test_gradient_flows_through_both_arguments_of_the_reverse_divergence():
    student = torch.tensor([[0.2, -0.1, 0.4]], requires_grad=True)
    teacher = torch.tensor([[0.5, 0.0, -0.5]])
    p, q = student.softmax(-1), teacher.softmax(-1)
    expected = torch.autograd.grad(0.5 * (q * (q / p).log()).sum() + 0.5 * (p * (p / q).log()).sum(), student)[0]
    ours = torch.autograd.grad(symmetric_kl(student, teacher), student)[0]
    torch.testing.assert_close(ours, expected)


def test_different_classes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        symmetric_kl(torch.zeros(2, 3), torch.zeros(2, 4))


def test_self_consistency_of_a_case_worked_by_hand():
    logits, frozen = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    terms = self_consistency(
        torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
        torch.zeros(2, 2), logits, frozen, image_weight=10, text_weight=25,
    )  # fmt: skip
    assert terms["loss_image"].item() == pytest.approx(10 * 0.5)
    assert terms["loss_text"].item() == pytest.approx(25 * 0.75)
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)  # KL(frozen || student), over 1 image x 2 classes
    assert terms["loss_logits"].item() == pytest.approx(divergence / 2, abs=1e-6)
