import math

import pytest
import torch
from torch import nn

from kdpl.distillation.gaussian_averaging import GaussianAverage, gaussian_weights


def test_weights_are_a_normal_density_of_the_epoch_made_to_sum_to_one():
    weights = gaussian_weights(mean=2, std=1, n_epochs=3)
    side = math.exp(-0.5)
    assert weights == pytest.approx([side / (1 + 2 * side), 1 / (1 + 2 * side), side / (1 + 2 * side)])


def test_the_average_is_the_weighted_sum_of_the_tensors_at_the_end_of_each_epoch():
    module = nn.Linear(1, 1, bias=False)
    average = GaussianAverage(mean=2, std=1, n_epochs=3)
    for epoch, value in enumerate([1.0, 10.0, 100.0]):
        nn.init.constant_(module.weight, value)
        average.add(module, epoch)
    average.apply(module)
    a, b, c = average.weights
    assert module.weight.item() == pytest.approx(a + 10 * b + 100 * c)
    assert torch.is_tensor(average.total["weight"])
