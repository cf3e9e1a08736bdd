"""Make an edition of the regression store: files and results of today's code, for later code to replay.

    python -m tests.regression.make_store first_edition                # from the repository's root
    python -m tests.regression.make_store second_edition --exact
    python -m tests.regression.make_store third_edition --exact --runs CoOp_KDPL_class_agnostic \\
        PromptSRC_KDPL_class_agnostic --supersedes second_edition  # classes are padded to fewer tokens since

The first edition was made from commit 629745f, before the library moved out of ``trainers/kdpl``. Every training of
``runs.py`` is stopped after the first of its two epochs, where its ``resume.pth`` is kept, then resumed, and compared
bit for bit with an uninterrupted run; both checkpoints are evaluated. Records are stored as written, except that the
version of the operating system is left out.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

import train
from kdpl.guard import INTERRUPTED

from .runs import (
    EPOCHS,
    ROOT,
    RUNS,
    STORE,
    TRAININGS,
    Run,
    command,
    distance,
    evaluate,
    evaluation,
    made_on,
    one_thread,
    prompt_file,
    read_prompts,
)

OUTPUT = Path("output/regression")  # relative, because records hold it
LEAST_CHANGE = 1e-2  # of a run's prompts in its second epoch, far above the tolerance of the test
LEAST_MARGIN = 5e-3  # between the two largest logits of an image, so that rounding changes no count


def main() -> None:
    """Make the edition that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edition", help="name of the new folder beside this file")
    parser.add_argument("--exact", action="store_true", help="expect the same bits on the same CPU and torch")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), help="default: all")
    parser.add_argument("--supersedes", nargs="+", default=[], help="editions that no longer promise the bits of these")
    parser.add_argument("--commit", help="commit of the code that runs (default: HEAD)")
    args = parser.parse_args()
    edition = STORE / args.edition
    if edition.exists():
        raise SystemExit(f"{edition} is there already. Remove it first if it is to be made again.")
    os.chdir(ROOT)
    os.environ["KDPL_TRACEBACK"] = "1"
    shutil.rmtree(OUTPUT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as cache, one_thread():
        os.environ["XDG_CACHE_HOME"] = cache  # text features are to be computed, not read
        logits = {key: tensor for name in args.runs for key, tensor in make_run(name, RUNS[name]).items()}
    check_margins(logits)
    for name in args.runs:
        copy_files(OUTPUT / name, edition / name)
    save_file(logits, edition / "logits.safetensors")
    shutil.rmtree(OUTPUT)
    facts = {"commit": args.commit or head(), "exact": args.exact, "made_on": made_on(), "runs": args.runs}
    facts |= {"supersedes": args.supersedes} if args.supersedes else {}
    (edition / "edition.json").write_text(json.dumps(facts, indent=1) + "\n")


def head() -> str:
    """The short hash of the commit that is checked out."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def make_run(name: str, run: Run) -> dict[str, Tensor]:
    """Train if there is something to train, and evaluate; the logits by their names in the store."""
    folder = OUTPUT / name
    if name not in TRAININGS:
        return {name: evaluate(command(run, folder, "--eval-only"))}
    with interrupted_after(1):
        assert train.main(command(run, folder)) == INTERRUPTED
    shutil.copy(folder / "resume.pth", folder / "resume-1.pth")
    assert train.main(command(run, folder)) == 0
    whole = folder.with_name(f"{name}_whole")
    assert train.main(command(run, whole)) == 0
    last = read_prompts(folder, EPOCHS)
    assert all(torch.equal(last[key], tensor) for key, tensor in read_prompts(whole, EPOCHS).items())
    change = distance(read_prompts(folder, 1), last)
    assert change > LEAST_CHANGE, f"the prompts of {name} changed by {change:.1e}: raise OPTIM.LR"
    return {
        f"{name}/{epoch}": evaluate(command(run, folder / f"evaluation-{epoch}", *evaluation(folder, epoch)))
        for epoch in range(1, EPOCHS + 1)
    }


@contextmanager
def interrupted_after(epoch: int) -> Iterator[None]:
    """Stop trainings as Ctrl-C would, once ``epoch`` has ended."""
    from dassl.engine import TrainerBase

    before_epoch = TrainerBase.before_epoch

    def interrupt(self) -> None:
        if self.epoch == epoch:
            raise KeyboardInterrupt

    TrainerBase.before_epoch = interrupt
    try:
        yield
    finally:
        TrainerBase.before_epoch = before_epoch


def check_margins(logits: dict[str, Tensor]) -> None:
    """Refuse a store whose counts rounding could change."""
    for name, tensor in logits.items():
        first, second = tensor.topk(2).values.T
        margin = float((first - second).min())
        assert margin > LEAST_MARGIN, f"two logits of an image differ by {margin:.1e} in {name}"


def copy_files(folder: Path, target: Path) -> None:
    """Copy what the test needs of an output folder."""
    for record in sorted(folder.rglob("results.json")):
        content = json.loads(record.read_text())
        content["versions"]["system"] = platform.system()
        text = json.dumps(content, indent=1)
        assert str(ROOT) not in text and str(Path.home()) not in text, f"{record} holds a path of this machine"
        copy = target / record.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text + "\n")
    if (folder / "resume-1.pth").is_file():
        shutil.copy(folder / "resume-1.pth", target / "resume.pth")
        for epoch in range(1, EPOCHS + 1):
            file = prompt_file(folder, epoch)
            (target / file.parent.name).mkdir(exist_ok=True)
            shutil.copy(file, target / file.parent.name)


if __name__ == "__main__":
    main()
