"""Predict which training runs fit on which card: python -m tools.cards > docs/cards.md

Uses the planner's memory model. Weights and activations are measured on this machine, with random weights in the
precision that cards compute in; nothing is measured on a card.
"""

import argparse
from collections.abc import Sequence

import torch
from dassl.data.datasets import DATASET_REGISTRY
from tabulate import tabulate

import datasets  # noqa: F401  registers them
from kdpl.distillation.feature_source import COMPUTING_BATCH, COMPUTING_BATCH_ELSEWHERE
from kdpl.guard import run_command
from kdpl.measuring.random_clips import ARCHITECTURES, kept_clip
from kdpl.methods import METHODS
from kdpl.planning import Planner, Workload

from .sweep.protocols import ELEVEN

CARDS = (8, 12, 16, 24, 40, 80)  # 10**9 bytes
CONTEXT = 500_000_000  # bytes that CUDA takes for itself
CHOSEN = "class-agnostic"
TEXT = """# Memory by method, dataset and card

Made by `python -m tools.cards`; do not edit.

**Predicted, not measured on a card.** Peak memory of a training run in GB (10^9 bytes): {student} from {teacher},
{precision}, published batch sizes. It is the sum of the weights of both CLIPs, the memory for a step's backward pass
or for a frozen tower on {group} images, whichever is larger, and {context:.1f} GB for CUDA itself. The planner measures
weights and activations in a few steps; PyTorch's allocator reserves some more.

"n at once" means that the texts of all classes do not fit into the share of the card that is set aside for them. They
then go through the tower n at a time, which gives the same numbers and takes up to a third longer. A dash means that
training does not fit. `--plan` makes the same prediction for your own device.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="ViT-B/32", choices=ARCHITECTURES)
    parser.add_argument("--teacher", default="ViT-L/14", choices=ARCHITECTURES)
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
    args = parser.parse_args(arguments)
    planner = Planner(torch.device("cpu"), kept_clip, timed=False)
    counts = {name: DATASET_REGISTRY.get(name).n_classes for name in ELEVEN.values()}
    counts = dict(sorted(counts.items(), key=lambda item: item[1])) | {CHOSEN: 1000}
    rows: dict[tuple, list[str]] = {}  # datasets by the rest of their row
    for method, entry in METHODS.items():
        for name, n_classes in counts.items():
            work = _workload(args, method, n_classes)
            cells = (method, entry.batch_size, *(cell(planner, work, int(10**9 * card)) for card in CARDS))
            rows.setdefault(cells, []).append(f"{name} ({n_classes})")
    facts = {"student": args.student, "teacher": args.teacher, "precision": args.precision}
    print(TEXT.format(**facts, group=COMPUTING_BATCH_ELSEWHERE, context=CONTEXT / 1e9))
    headers = ["method", "datasets (classes)", "batch", *(f"{card} GB" for card in CARDS)]
    table = [[method, ", ".join(names), *cells] for (method, *cells), names in rows.items()]
    print(tabulate(table, headers=headers, tablefmt="github", disable_numparse=True))
    return 0


def cell(planner: Planner, work: Workload, card: int) -> str:
    """Peak in GB, and how many classes go through the text tower at once if not all; a dash where it does not fit."""
    larger_groups = COMPUTING_BATCH_ELSEWHERE / COMPUTING_BATCH["cpu"]
    peak = CONTEXT + planner.beside_the_process(work, card, larger_groups)
    if peak > card:
        return "-"
    at_once = planner.classes_at_once(work, card)
    return f"{peak / 1e9:.1f}" + f", {at_once} at once" * (at_once < work.n_classes)


def _workload(args: argparse.Namespace, method: str, n_classes: int) -> Workload:
    entry = METHODS[method]
    return Workload(
        method, tuple(entry.complete({}).items()), args.student, args.teacher, n_classes, entry.batch_size,
        n_images=16 * n_classes, n_test=0, epochs=entry.epochs, views=entry.epochs,
        precision=args.precision, teacher_precision=args.precision,
    )  # fmt: skip


if __name__ == "__main__":
    run_command(main)
