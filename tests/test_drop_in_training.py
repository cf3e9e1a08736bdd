"""Trainers in real checkouts: ours over stock Dassl, and the checkouts' own over stock Dassl and over ours.

COOP_HOME, MAPLE_HOME and PROMPTSRC_HOME name the checkouts, DASSL_HOME one of KaiyangZhou/Dassl.pytorch.
"""

import json
from pathlib import Path

import pytest
import torch

from tests.coop_checkout import COMPAT_DASSL, Checkout, accuracy, contents, home, install

OURS = ["CoOp_KDPL", "CoCoOp_KDPL", "VPT_KDPL", "MaPLe_KDPL", "PromptSRC_KDPL"]
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
    assert said.count("mended for torch") == (torch.__version__ >= (2, 6))
    folder = checkout.folder / trainer
    record = json.loads((folder / "results.json").read_text())
    assert record["status"] == "finished" and record["evaluations"][0]["total"] == 10
    again = checkout.train(dassl, trainer, f"{trainer}_eval", "--eval-only", f"--model-dir={folder}", "--load-epoch=2")
    assert accuracy(again) == accuracy(said)


@pytest.mark.parametrize("trainer", ["CoOp", "CoCoOp"])
def test_its_own_trainers_train_save_resume_and_evaluate_as_before(trainer, checkouts):
    checkout, dassl, output = checkouts("COOP_HOME"), home("DASSL_HOME"), f"own_{trainer}"
    _train_resume_and_evaluate(checkout, dassl, trainer, output)
    assert not (checkout.folder / output / "results.json").exists()  # none of ours took its name


@pytest.mark.parametrize("name, trainer", THEIRS)
def test_their_trainers_run_over_our_dassl_with_the_numbers_of_stock_dassl(name, trainer, checkouts):
    checkout = checkouts(name)
    if trainer.startswith("Zeroshot"):
        numbers = [accuracy(checkout.train(COMPAT_DASSL, trainer, "zero_ours", "--eval-only", clip_called_tiny=True))]
        stock = home("DASSL_HOME")
        numbers += [accuracy(checkout.train(stock, trainer, "zero_stock", "--eval-only", clip_called_tiny=True))]
        assert numbers[0] == numbers[1]
        return
    said = _train_resume_and_evaluate(checkout, COMPAT_DASSL, trainer, f"{trainer}_ours")
    expected = _train_resume_and_evaluate(checkout, home("DASSL_HOME"), trainer, f"{trainer}_stock")
    assert accuracy(said) == accuracy(expected)
    ours, stock = (_trained(checkout.folder / f"{trainer}_{engine}") for engine in ("ours", "stock"))
    assert ours.keys() == stock.keys()
    for key, tensor in ours.items():
        assert torch.equal(tensor, stock[key]), key


def _train_resume_and_evaluate(checkout: Checkout, dassl: Path, trainer: str, output: str) -> str:
    """Two epochs, a third one, and an evaluation of what was saved; what the second run printed."""
    folder = checkout.folder / output
    checkout.train(dassl, trainer, output, clip_called_tiny=True)
    said = checkout.train(dassl, trainer, output, "OPTIM.MAX_EPOCH", "3", clip_called_tiny=True)
    assert "will resume training" in said and "epoch [3/3]" in said and "epoch [2/3]" not in said
    again = checkout.train(
        dassl, trainer, f"{output}_eval", "--eval-only", f"--model-dir={folder}", "--load-epoch=3",
        clip_called_tiny=True,
    )  # fmt: skip
    assert accuracy(again) == accuracy(said)
    return said


def _trained(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*/model.pth.tar-3")
    return torch.load(file, weights_only=False)["state_dict"]


def test_a_checkout_in_which_was_trained_is_restored(checkouts):  # the last one: it removes what the others use
    checkout = checkouts("COOP_HOME")
    install(checkout.coop, "--remove")
    assert contents(checkout.coop) == checkout.before
    assert not (checkout.coop / "trainers" / "kdpl").exists()
