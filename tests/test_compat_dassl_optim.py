"""Optimizers and learning rates."""

import io
import json

import pytest
import torch
from torch import nn

import compat  # noqa: F401

# isort: split
from dassl.config import get_cfg_default
from dassl.optim import build_lr_scheduler, build_optimizer


def optim_node(**changes: object):
    node = get_cfg_default().OPTIM
    node.merge_from_list([part for item in changes.items() for part in item])
    return node


def rates(node, epochs: int) -> list[float]:
    """The learning rate of each epoch, and the one after the last."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=node.LR)
    scheduler = build_lr_scheduler(optimizer, node)
    series = []
    for _ in range(epochs):
        series.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return [*series, optimizer.param_groups[0]["lr"]]


def test_cosine_after_a_constant_warmup():
    # 1e-5, then 0.002 (1 + cos(pi e / 4)) / 2 for e = 0 .. 3
    node = optim_node(
        LR=0.002, LR_SCHEDULER="cosine", MAX_EPOCH=4, WARMUP_EPOCH=1, WARMUP_TYPE="constant", WARMUP_CONS_LR=1e-5
    )
    assert rates(node, 4) == pytest.approx([1e-5, 0.002, 0.0017071068, 0.001, 0.0002928932])


def test_cosine_after_a_linear_warmup():
    node = optim_node(
        LR=0.004, LR_SCHEDULER="cosine", MAX_EPOCH=4, WARMUP_EPOCH=4, WARMUP_TYPE="linear", WARMUP_MIN_LR=1e-6
    )
    assert rates(node, 4) == pytest.approx([1e-6, 0.001, 0.002, 0.003, 0.004])


def test_without_recount_the_warmup_epochs_count_for_the_schedule():
    # steps at epochs 4 and 8, of which 4 comes after the warm-up: at epoch 4, not at epoch 6
    changes = {"LR": 1.0, "STEPSIZE": (4,), "MAX_EPOCH": 10, "WARMUP_EPOCH": 2, "WARMUP_TYPE": "constant"}
    changes["WARMUP_CONS_LR"] = 0.5
    counted = rates(optim_node(**changes, WARMUP_RECOUNT=False), 6)
    recounted = rates(optim_node(**changes, WARMUP_RECOUNT=True), 6)
    assert counted == pytest.approx([0.5, 0.5, 1.0, 1.0, 0.1, 0.1, 0.1])
    assert recounted == pytest.approx([0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 0.1])


def test_a_schedule_of_warmup_only_ends_at_the_full_rate():
    node = optim_node(LR=1.0, LR_SCHEDULER="cosine", MAX_EPOCH=1, WARMUP_EPOCH=1, WARMUP_RECOUNT=False)
    assert rates(node, 1) == [1e-5, 1.0]


def test_multi_step_and_single_step_without_warmup():
    node = optim_node(LR=1.0, LR_SCHEDULER="multi_step", STEPSIZE=(1, 3), MAX_EPOCH=4)
    assert rates(node, 3) == pytest.approx([1.0, 0.1, 0.1, 0.01])
    node = optim_node(LR=1.0, LR_SCHEDULER="single_step", STEPSIZE=(-1,), MAX_EPOCH=2)
    assert rates(node, 2) == pytest.approx([1.0, 1.0, 0.1])


def test_the_published_schedules_are_met_at_every_epoch(shared):
    schedules = json.loads((shared / "parity" / "golden_public.json").read_text())["lr_schedules"]
    assert len(schedules) > 5
    for name, golden in schedules.items():
        node = optim_node(
            LR=golden["base_lr"],
            MAX_EPOCH=golden["epochs"],
            LR_SCHEDULER=golden["scheduler"],
            WARMUP_EPOCH=golden["warmup_epochs"],
            WARMUP_TYPE=golden["warmup_type"],
            WARMUP_CONS_LR=golden["warmup_lr"],
        )
        expected = [*golden["lr_per_epoch"], golden["lr_after_last"]]
        assert rates(node, golden["epochs"]) == pytest.approx(expected, rel=1e-8), name


def test_a_schedule_continues_from_its_saved_state():
    node = optim_node(LR=0.1, LR_SCHEDULER="cosine", MAX_EPOCH=6, WARMUP_EPOCH=2, WARMUP_TYPE="linear")
    first = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=node.LR)
    interrupted = build_lr_scheduler(first, node)
    for _ in range(3):
        interrupted.step()
    stream = io.BytesIO()
    torch.save(interrupted.state_dict(), stream)
    stream.seek(0)
    second = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=node.LR)
    resumed = build_lr_scheduler(second, node)
    resumed.load_state_dict(torch.load(stream, weights_only=True))  # plain numbers only
    resumed.step()
    assert resumed.get_last_lr() == [rates(node, 6)[4]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"LR_SCHEDULER": "exponential"}, "'exponential'.*multi_step.*cosine"),
        ({"WARMUP_EPOCH": 1, "WARMUP_TYPE": "slow"}, "'slow'.*constant.*linear"),
        ({"LR_SCHEDULER": "single_step", "STEPSIZE": (0.5,)}, "STEPSIZE.*whole number"),
    ],
)
def test_impossible_schedules_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        rates(optim_node(**changes), 1)


def test_sgd_follows_the_hand_worked_steps():
    # gradient 2 w + decay 0.5 w = 2.5 w; momentum: v = 2.5, w = 0.75; v = 0.5 * 2.5 + 2.5 * 0.75 = 3.125, w = 0.4375
    weight = nn.Parameter(torch.tensor([1.0]))
    node = optim_node(NAME="sgd", LR=0.1, MOMENTUM=0.5, WEIGHT_DECAY=0.5)
    optimizer = build_optimizer([weight], node)
    for _ in range(2):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    assert weight.item() == pytest.approx(0.4375)


@pytest.mark.parametrize("name", ["adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"])
def test_every_optimizer_gets_rate_and_decay(name):
    optimizer = build_optimizer(nn.Linear(2, 1), optim_node(NAME=name, LR=0.25, WEIGHT_DECAY=0.125))
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.25, 0.125)
    assert optimizer.param_groups[0].get("amsgrad", False) == (name == "amsgrad")


def test_an_unknown_optimizer_and_rates_by_layer_are_refused():
    with pytest.raises(ValueError, match="'lion'.*'sgd'"):
        build_optimizer(nn.Linear(2, 1), optim_node(NAME="lion"))
    with pytest.raises(ValueError, match="STAGED_LR .* install Dassl"):
        build_optimizer(nn.Linear(2, 1), optim_node(STAGED_LR=True))
