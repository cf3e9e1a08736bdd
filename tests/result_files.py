"""Records and logs of runs that never happened, for tests of tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.tables.cells import Cell, Table
from tools.tables.comparison import method_of
from tools.tables.layouts import all_tables
from tools.tables.protocols import results_of
from tools.tables.reading import read_runs


def write_record(
    folder: Path,
    trainer: str = "CoOp_KDPL",
    dataset: str = "Shapes",
    subsample: str = "all",
    seed: int = 1,
    shots: int = 16,
    scores: Mapping[tuple[str, str], tuple[int, int]] | None = None,
    prompts: str | None = None,
    evaluates: bool = False,
    classes: int = 2,
    config: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Write ``results.json`` as the trainers do.

    Args:
        scores: correct and total images by dataset and subsample.
        prompts: stands for the hash of the prompts; by default one for each trainer, dataset and seed.
        evaluates: write an evaluation of these prompts instead of a training.
        classes: how many class names each evaluation has.
        facts: replace any entry.
    """
    zero_shot = trainer.startswith("Zeroshot")
    distilled = trainer.endswith("_KDPL")
    record = {
        "format": 1,
        "status": "finished",
        "mode": "eval" if evaluates or zero_shot else "train",
        "trainer": trainer,
        "dataset": dataset,
        "subsample": subsample,
        "seed": seed,
        "shots": shots,
        "backbone": "demo:student",
        "teacher": "demo:teacher" if distilled and not evaluates else None,
        "config": {"OPTIM": {"MAX_EPOCH": 5}, "SEED": seed, "OUTPUT_DIR": str(folder), **(config or {})},
        "epochs": 0 if evaluates or zero_shot else 5,
        "weights_sha256": {"student": "aa" * 32},
        "split_sha256": "cc" * 32,
        "prompts_sha256": None if zero_shot else prompts or f"{trainer} {dataset} {subsample} {shots} {seed}",
        "evaluations": [
            {
                "dataset": tested,
                "split": "test",
                "subsample": half,
                "correct": correct,
                "total": total,
                "accuracy": 100 * correct / total,
                "per_class": [{"classname": f"{half} {i}", "correct": correct, "total": total} for i in range(classes)],
            }
            for (tested, half), (correct, total) in (scores or {}).items()
        ],
    }
    if not evaluates and not zero_shot:
        record["visible"] = {"train_images": 32, "labels_used": not distilled, "classnames": "dataset"}
    record |= facts
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    path.write_text(json.dumps(record))
    return path


def write_base_to_new(
    folder: Path, trainer: str, seed: int, base: int, new: int, total: int = 1000, dataset: str = "Shapes",
    together: int | None = None, **facts: Any,
) -> None:  # fmt: skip
    """A training on the base classes, tested on both halves and perhaps on all classes, as the scripts do."""
    common = {"trainer": trainer, "dataset": dataset, "seed": seed, **facts}
    prompts = f"{folder} {trainer} {dataset} {seed}"
    write_record(folder / "train", subsample="base", prompts=prompts, **common)
    for half, correct in (("base", base), ("new", new), ("all", together)):
        if correct is None:
            continue
        scores = {(dataset, half): (correct, 2 * total if half == "all" else total)}
        write_record(folder / half, subsample=half, prompts=prompts, evaluates=True, scores=scores, **common)


def write_zero_shot(folder: Path, scores: Mapping[tuple[str, str], tuple[int, int]], **facts: Any) -> None:
    """Write one record per test set."""
    for (dataset, half), counts in scores.items():
        write_record(
            folder / f"{dataset}_{half}", "ZeroshotCLIP", dataset, half, scores={(dataset, half): counts}, **facts
        )


LOG = """\
***************
** Arguments **
***************
backbone: 
config_file: configs/trainers/{trainer}/vit_b16_ep50_ctxv1.yaml
eval_only: {eval_only}
load_epoch: None
model_dir: {model_dir}
opts: ['DATASET.NUM_SHOTS', '16', 'DATASET.SUBSAMPLE_CLASSES', '{subsample}']
seed: {seed}
************
** Config **
************
DATALOADER:
  TRAIN_X:
    BATCH_SIZE: 32
DATASET:
  NAME: {dataset}
  NUM_SHOTS: {shots}
  SUBSAMPLE_CLASSES: {subsample}
INPUT:
  SIZE: (224, 224)
MODEL:
  BACKBONE:
    NAME: ViT-B/16
OPTIM:
  MAX_EPOCH: 50
OUTPUT_DIR: {output_dir}
SEED: {seed}
TRAINER:
  COOP:
    CTX_INIT: a photo of a
  NAME: {trainer}
Collecting env info ...
** System info **
PyTorch version: 1.8.1

epoch [50/50] batch [10/10] loss 0.1 (0.2)
Evaluate on the *test* set
=> result
* total: {total:,}
* correct: {correct:,}
* accuracy: {accuracy:.1f}%
* error: {error:.1f}%
* macro_f1: 80.0%
Elapsed: 0:01:02
"""  # noqa: W291  Dassl prints the blank


def write_log(folder: Path, correct: int, total: int, **facts: Any) -> Path:
    """Write ``log.txt`` as CoOp with Dassl does."""
    defaults = {
        "trainer": "CoOp", "dataset": "Caltech101", "subsample": "base", "seed": 1, "shots": 16, "eval_only": False,
        "model_dir": "", "output_dir": folder,
    }  # fmt: skip
    accuracy = 100 * correct / total
    numbers = {"correct": correct, "total": total, "accuracy": accuracy, "error": 100 - accuracy}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.txt"
    path.write_text(LOG.format(**{**defaults, **numbers, **facts}))
    return path


# What tables make of them


def tables_of(folder: Path, baseline: str | None = None, calibration_error: bool = False) -> list[Table]:
    return all_tables(results_of(read_runs([folder])[0]), baseline, calibration_error)


def cell(table: Table, method: str, column: str) -> Cell:
    """The cell of the only row with this method."""
    (row,) = (i for i, row in enumerate(table.rows) if method_of(row.setting) == method)
    return table.cells[row][[one.title for one in table.columns].index(column)]


def means(table: Table, method: str) -> list[float]:
    return [round(cell(table, method, column.title).sample.mean, 4) for column in table.columns]
