"""The page of a benchmark, Markdown."""

from typing import Any

from tabulate import tabulate

MADE_BY = "Made by `python -m tools.benchmark --render FILE`, FILE from `--json FILE`; do not edit."
SETTINGS = """Three settings decide how fast a training is:

- `PREC` of the student and of `TRAINER.KDPL` is `auto` in our files for KDPL: bf16 on cards that have it, which needs
  no loss scaling, fp16 on older ones, fp32 on a CPU. CoOp's own keys keep their fp16, and a run that was begun with
  fp16 is resumed with it. The record of a run says what the student computed in.
- `TRAINER.KDPL.STEP` is `plain`, `compiled` (one graph by torch.compile) or `graph` (a CUDA graph). Class-agnostic
  steps choose their classes and run plainly. `kdpl doctor --gpu` compares the three on the card at hand, times them,
  and says which one to set.
- `TRAINER.KDPL.CACHE_DIR` keeps features of frozen towers for all runs."""
NOTES = {  # heading: what to know when reading its table
    "CoOp_KDPL beside the plain computation": "Forward and backward, medians of steps taken in turn. With a cache, "
    "features of frozen towers are given; the evaluation knows its text features. The gradient's difference is "
    "relative to its norm.",
    "Parts of a step": "Pictures are JPEGs of 500 x 375 pixels, read and augmented by one process. Features of frozen "
    "towers are computed apart; without a cache a step needs all columns. Kernels are those on the card, or on a CPU "
    "operators that call no others. Memory is what a step with known features takes beside the weights.",
    "Class-agnostic training": "Text forward and backward of the classes that a batch keeps, out of names with as "
    "many tokens as those of Open Images. Plain: padded to what the longest names of all could need.",
    "Numbers of classes": "Text forward and backward of CoOp in chunks, as they are where memory is short: "
    "`max_tokens` bounds the activations, and what does not fit is computed again in the backward pass. Memory is "
    "beside the weights.",
    "A sweep over all methods": "The paper's five methods with and without class names, one after the other, each in "
    "a training of one epoch from images to prompts; plain: without a feature cache.",
    "Share of the ceiling": "Of a large matrix product in float32, measured in the same run.",
    "Start-up": "The fewest processor seconds of three processes.",
}


def page(content: dict[str, Any]) -> str:
    """Tables of everything that a file of ``--json`` holds."""
    size = (
        f"{content['student']} from {content['teacher']}, {content['classes']} classes, {content['batch']} images, "
        f"float32, random weights; {content['device']}, torch {content['versions'].get('torch', '?')}; "
        f"medians of {content['steps']}{' (quick)' if content['quick'] else ''}"
        f"{', in processor seconds' if content['clock'] == 'process_time' else ''}."
    )
    lines = ["# Performance", "", MADE_BY, "", SETTINGS, "", "## Measured", "", size]
    for heading, rows in content["measures"].items():
        if rows:
            lines += ["", f"### {heading}", "", NOTES[heading], "", _table(rows)]
    return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    return tabulate(cells, headers=columns, tablefmt="github", disable_numparse=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
