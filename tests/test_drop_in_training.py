"""Trainers in real checkouts: ours with stock Dassl, and the checkouts' own with stock Dassl and with ours.

COOP_HOME, MAPLE_HOME and PROMPTSRC_HOME name the checkouts, DASSL_HOME one of KaiyangZhou/Dassl.pytorch.
"""

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from tests.coop_checkout import COMPAT_DASSL, Checkout, accuracy, contents, home, install

OURS = ["CoOp_KDPL", "CoCoOp_KDPL", "KgCoOp_KDPL", "VPT_KDPL", "MaPLe_KDPL", "PromptSRC_KDPL"]
THEIRS = [
    ("COOP_HOME", "CoOp"),
    ("COOP_HOME", "CoCoOp"),
    ("COOP_HOME", "ZeroshotCLIP"),
    ("MAPLE_HOME", "CoOp"),
    ("MAPLE_HOME", "CoCoOp"),
    ("MAPLE_HOME", "MaPLe"),
    ("MAPLE_HOME", "VPT"),
    ("MAPLE_HOME", "IVLP"),
    ("MAPLE_HOME", "ZeroshotCLIP2"),
    ("PROMPTSRC_HOME", "PromptSRC"),
]


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory):
    """By the name of its variable: the checkout, with the trainers installed."""
    made = {}

    def checkout(name: str) -> Checkout:
        original = home(name)
        if name not in made:
            made[name] = Checkout(tmp_path_factory.mktemp(name), original)
        return made[name]

    return checkout


@pytest.mark.parametrize("trainer", OURS)
def test_our_trainers_train_save_and_evaluate_in_a_checkout(trainer, checkouts):
    checkout, dassl = checkouts("COOP_HOME"), home("DASSL_HOME")
    said = checkout.train(dassl, trainer, trainer)
    assert "epoch [2/2] batch [2/2]" in said
    assert said.count("repaired for torch") == (torch.__version__ >= (2, 6))
    folder = checkout.folder / trainer
    record = json.loads((folder / "results.json").read_text())
    assert record["status"] == "finished" and record["evaluations"][0]["total"] == 10
    again = checkout.train(dassl, trainer, f"{trainer}_eval", "--eval-only", f"--model-dir={folder}", "--load-epoch=2")
    assert accuracy(again) == accuracy(said)


@pytest.mark.parametrize("trainer", ["CoOp", "CoCoOp"])
def test_its_own_trainers_train_save_resume_and_evaluate_as_before(trainer, checkouts):
    checkout, dassl = checkouts("COOP_HOME"), home("DASSL_HOME")
    folder = checkout.folder / f"own_{trainer}"
    checkout.train(dassl, trainer, folder.name, clip_called_tiny=True)
    assert not (folder / "results.json").exists()  # none of ours took its name
    said = checkout.train(dassl, trainer, folder.name, "OPTIM.MAX_EPOCH", "3", clip_called_tiny=True)
    assert "will resume training" in said and "epoch [3/3]" in said and "epoch [2/3]" not in said
    evaluation = ("--eval-only", f"--model-dir={folder}", "--load-epoch=3")
    again = checkout.train(dassl, trainer, f"{folder.name}_eval", *evaluation, clip_called_tiny=True)
    assert accuracy(again) == accuracy(said)


@pytest.fixture(scope="module")
def run_of_theirs(checkouts):
    """Train and evaluate a checkout's own trainer with a given Dassl; the last accuracy and what was learned."""

    @cache
    def run(name: str, trainer: str, dassl: Path) -> tuple[str, dict[str, torch.Tensor]]:
        checkout = checkouts(name)
        folder = checkout.folder / f"{trainer}_{dassl.name}"
        if trainer.startswith("Zeroshot"):
            return accuracy(checkout.train(dassl, trainer, folder.name, "--eval-only", clip_called_tiny=True)), {}
        said = checkout.train(dassl, trainer, folder.name, clip_called_tiny=True)
        evaluation = ("--eval-only", f"--model-dir={folder}", "--load-epoch=2")
        again = checkout.train(dassl, trainer, f"{folder.name}_eval", *evaluation, clip_called_tiny=True)
        assert "epoch [2/2]" in said and accuracy(again) == accuracy(said)
        (file,) = folder.glob("*/model.pth.tar-2")
        return accuracy(said), torch.load(file, weights_only=False)[
            "state_dict"
        ]  # stock Dassl's checkpoints hold objects

    return run


@pytest.mark.parametrize("name, trainer", THEIRS)
def test_their_trainers_train_and_evaluate_over_our_dassl(name, trainer, run_of_theirs):
    assert "* accuracy: " in run_of_theirs(name, trainer, COMPAT_DASSL)[0]


@pytest.mark.parametrize("name, trainer", THEIRS)
def test_their_trainers_have_the_numbers_of_stock_dassl_over_ours(name, trainer, run_of_theirs):
    stock_accuracy, stock_weights = run_of_theirs(name, trainer, home("DASSL_HOME"))
    our_accuracy, our_weights = run_of_theirs(name, trainer, COMPAT_DASSL)
    assert our_accuracy == stock_accuracy and our_weights.keys() == stock_weights.keys()
    for key, tensor in our_weights.items():
        assert torch.equal(tensor, stock_weights[key]), key


def test_a_checkout_in_which_was_trained_is_restored(checkouts):  # last, because it removes what the others use
    checkout = checkouts("COOP_HOME")
    install(checkout.coop, "--remove")
    assert contents(checkout.coop) == checkout.before
    assert not (checkout.coop / "trainers" / "kdpl").exists()
