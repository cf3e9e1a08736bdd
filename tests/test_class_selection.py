import torch

from kdpl.distillation.class_selection import most_likely_classes


def test_the_classes_kept_have_the_largest_mean_probability():
    probabilities = torch.tensor([[0.5, 0.1, 0.3, 0.1], [0.1, 0.5, 0.3, 0.1]])  # means 0.3, 0.3, 0.3, 0.1
    assert most_likely_classes(probabilities.log(), 3).tolist() == [0, 1, 2]
    sharper = torch.tensor([[0.05, 0.15, 0.7, 0.1], [0.05, 0.15, 0.2, 0.6]])  # means 0.05, 0.15, 0.45, 0.35
    assert most_likely_classes(sharper.log(), 2).tolist() == [2, 3]


def test_probabilities_are_averaged_and_not_logits():
    # Class 1 has the larger mean logit (2 against 0), class 0 the larger mean probability over three images.
    logits = torch.tensor([[0.0, -8.0, -9.0], [0.0, -8.0, -9.0], [0.0, 22.0, -9.0]])
    assert most_likely_classes(logits, 1).tolist() == [0]


def test_a_vocabulary_smaller_than_k_is_kept_whole():
    assert most_likely_classes(torch.randn(2, 5), 1000).tolist() == [0, 1, 2, 3, 4]
