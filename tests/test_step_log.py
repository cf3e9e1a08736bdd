import pytest
import torch
from torch import nn

from kdpl.distillation.step_log import StepLog


def test_steps_come_back_in_order_and_once():
    log = StepLog()
    log.add({"loss": torch.tensor(1.5)})
    log.add({"loss": torch.tensor(0.5)})
    assert log.read() == [{"loss": 1.5}, {"loss": 0.5}]
    assert log.read() == []


def test_the_first_tensor_that_goes_bad_is_named_with_its_step():
    log, prompts = StepLog(), nn.Parameter(torch.zeros(2))
    prompts.grad = torch.tensor([1.0, -3.0])
    log.add({"loss": torch.tensor(1.0)}, [("ctx", prompts)])
    prompts.grad = torch.tensor([1.0, float("nan")])
    log.add({"loss": torch.tensor(1.0)}, [("ctx", prompts)])
    with pytest.raises(FloatingPointError, match="gradient of ctx became nan in step 2 of the last 2"):
        log.read()


def test_a_loss_that_overflows_is_named():
    log = StepLog()
    log.add({"loss": torch.tensor(float("inf"))})
    with pytest.raises(FloatingPointError, match="loss became inf in step 1"):
        log.read()


def test_the_term_that_goes_bad_is_named_rather_than_the_sum_or_a_gradient():
    log, prompts, bad = StepLog(), nn.Parameter(torch.zeros(2)), torch.tensor(float("nan"))
    prompts.grad = torch.full((2,), float("nan"))
    log.add({"loss": bad, "loss_teacher": torch.tensor(1.0), "loss_image": bad}, [("ctx", prompts)])
    with pytest.raises(FloatingPointError, match="^loss_image became nan in step 1"):
        log.read()
