"""The runs of the regression store and how to repeat them, shared by make_store.py and test_regression.py.

Only ``train.py``, the files that it writes and Dassl's classes are used, so that all code behind them may move.
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import PIL
import torch
from torch import Tensor

import compat  # noqa: F401  before whatever imports dassl
import train

ROOT = Path(__file__).parents[2]
STORE = ROOT / "tests" / "regression"
EPOCHS = 2  # of every training, as settings.yaml has it
CLASS_AGNOSTIC = ("TRAINER.KDPL.CLASS_AGNOSTIC", "True")


@dataclass(frozen=True)
class Run:
    """One run of the store.

    Attributes:
        trainer: name of the trainer.
        pairs: KEY VALUE pairs beyond settings.yaml.
        starts_from_words: whether all initial prompts come from CTX_INIT, so that training can be replayed from scratch
            even when the order of random draws changes.
    """

    trainer: str
    pairs: tuple[str, ...] = ()
    starts_from_words: bool = False


TRAININGS = {
    "CoOp": Run("CoOp", starts_from_words=True),
    "CoOp_class_specific": Run(
        "CoOp",
        ("TRAINER.COOP.CTX_INIT", "", "TRAINER.COOP.N_CTX", "2")
        + ("TRAINER.COOP.CSC", "True", "TRAINER.COOP.CLASS_TOKEN_POSITION", "middle"),
    ),
    "CoCoOp": Run("CoCoOp"),
    "VPT": Run("VPT"),
    "MaPLe": Run("MaPLe", ("TRAINER.MAPLE.PROMPT_DEPTH", "1")),  # its projections are the largest part of the store
    "PromptSRC": Run("PromptSRC"),
    "KgCoOp": Run("KgCoOp", starts_from_words=True),
    "CoOp_KDPL": Run("CoOp_KDPL", starts_from_words=True),
    "CoCoOp_KDPL": Run("CoCoOp_KDPL"),
    "VPT_KDPL": Run("VPT_KDPL"),
    "MaPLe_KDPL": Run("MaPLe_KDPL"),
    "PromptSRC_KDPL": Run("PromptSRC_KDPL"),
    "KgCoOp_KDPL": Run("KgCoOp_KDPL", starts_from_words=True),
    "CoOp_KDPL_class_agnostic": Run("CoOp_KDPL", CLASS_AGNOSTIC, starts_from_words=True),
    "PromptSRC_KDPL_class_agnostic": Run("PromptSRC_KDPL", CLASS_AGNOSTIC),
    "CoOp_KDPL_two_teachers": Run(
        "CoOp_KDPL", ("TRAINER.KDPL.TEACHER", "demo:teacher, demo:student"), starts_from_words=True
    ),
}
ZERO_SHOT = {
    "ZeroshotCLIP_student": Run("ZeroshotCLIP"),
    "ZeroshotCLIP_teacher": Run("ZeroshotCLIP", ("MODEL.BACKBONE.NAME", "demo:teacher")),
    "ZeroshotCLIP2_student": Run("ZeroshotCLIP2"),
}
RUNS = TRAININGS | ZERO_SHOT


def command(run: Run, output: Path | str, *flags: object) -> list[str]:
    """Arguments of ``train.py``; paths in them are relative to the repository, as are those that a run records."""
    arguments = [
        "--root", "tests/regression/images", "--seed", 1, "--trainer", run.trainer, "--output-dir", output,
        "--config-file", "tests/regression/settings.yaml", *flags, *run.pairs,
    ]  # fmt: skip
    return [str(argument) for argument in arguments]


def evaluation(model_dir: Path | str, epoch: int) -> tuple[object, ...]:
    """Flags that evaluate the prompts which a training saved after ``epoch``, counted from 1."""
    return ("--eval-only", "--model-dir", model_dir, "--load-epoch", epoch)


def evaluate(arguments: list[str]) -> Tensor:
    """Run ``train.py``; the logits of its last evaluation, (n_images, n_cls)."""
    with _watched_logits() as logits:
        assert train.main(arguments) == 0
    assert logits, "Classification.process of Dassl was never called, so there are no logits to compare"
    return torch.cat(logits)


@contextmanager
def _watched_logits() -> Iterator[list[Tensor]]:
    """A list that collects the logits handed to Dassl's evaluator, batch by batch, since its last reset."""
    from dassl.evaluation import Classification

    logits: list[Tensor] = []
    reset, process = Classification.reset, Classification.process

    def watched_reset(self) -> None:
        logits.clear()
        reset(self)

    def watched_process(self, mo: Tensor, gt: Tensor) -> None:
        logits.append(mo.detach().float().cpu().clone())
        process(self, mo, gt)

    Classification.reset, Classification.process = watched_reset, watched_process
    try:
        yield logits
    finally:
        Classification.reset, Classification.process = reset, process


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: the last bits of a sum depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prompt_file(folder: Path, epoch: int) -> Path:
    """The only ``<registered name>/model.pth.tar-<epoch>`` of an output folder."""
    (file,) = folder.glob(f"*/model.pth.tar-{epoch}")
    return file


def read_prompts(folder: Path, epoch: int) -> dict[str, Tensor]:
    """The learned tensors that a training saved after ``epoch``."""
    return torch.load(prompt_file(folder, epoch), weights_only=True)["state_dict"]


def distance(found: dict[str, Tensor], stored: dict[str, Tensor]) -> float:
    """The largest difference of a tensor, relative to the norm of the stored one.

    Raises:
        AssertionError: if names, shapes or types differ.
    """
    look = [{name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} for tensors in (found, stored)]
    assert look[0] == look[1]
    return max(
        (float((found[name] - stored[name]).norm() / stored[name].norm().clamp(min=1e-30)) for name in stored),
        default=0.0,
    )


def made_on() -> dict[str, str]:
    """CPU and versions on which the last bits of a result depend."""
    return {
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "pillow": PIL.__version__,
    }


def cpu_model() -> str:
    """Name, family and model number of the CPU; virtual machines often hide all but the numbers."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return platform.processor()
    lines = [line.partition(":") for line in file.read_text().split("\n\n")[0].splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in lines}
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
