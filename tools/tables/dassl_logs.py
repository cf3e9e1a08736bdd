"""Runs that left nothing but Dassl's ``log.txt``: earlier runs with CoOp and its relatives.

A log begins with the arguments and the configuration, which say what was run. Where they are missing, CoOp's folder
names (``train_base/caltech101/shots_16/CoOp/vit_b16_ep50/seed1``) have to say it.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdpl.methods import METHODS
from kdpl.outside import read_bytes
from kdpl.run_record import Evaluation, RunRecord, Visible
from tools.sweep.protocols import NAMES
from trainers.kdpl.config import ZERO_SHOT

from .records import DASSL_LOG, Run, setting_of

FROM_LABELS = tuple(METHODS)
FROM_TEACHER = tuple(f"{method}_KDPL" for method in FROM_LABELS)
HALVES = {"train_base": "base", "test_base": "base", "test_new": "new"}  # CoOp's folders
NOT_RECORDED = "not recorded"
RESULT = re.compile(r"^\* (total|correct|accuracy): ([\d.,]+)%?$")
ENTRY = re.compile(r"^( *)([A-Za-z0-9_]+):(?: (.*))?$")


def read_log(path: Path) -> Run:
    """The run of one log.

    Raises:
        ValueError: if the run was not finished, or neither the log nor its folders say what was run.
    """
    lines = read_bytes(path, "log").decode("utf-8", errors="replace").splitlines()
    result = _last_test_result(lines)
    if result is None and "Finish training" not in lines:
        raise ValueError("holds neither a result on a test set nor the end of a training: the run was not finished")
    arguments, config = _arguments(lines), _config(lines)
    record = _of_config(config, arguments) if config else _of_folders(path)
    if result:
        accuracy, total = result
        record.evaluations = [Evaluation(record.dataset, subsample=record.subsample, accuracy=accuracy, total=total)]
    record.model_dir = arguments.get("model_dir")
    setting = setting_of(record, DASSL_LOG)
    return Run(path, record, setting if config else replace(setting, options=_options_of_folders(path, record)))


def _last_test_result(lines: Sequence[str]) -> tuple[float, int | None] | None:
    """Accuracy in percent, from exact counts where they are told, and the number of test images; None without one."""
    evaluated, found, last = "test", {}, {}
    for line in lines:
        if line.startswith("Evaluate on the *"):
            evaluated = line.split("*")[1]
        elif line.startswith("=> result"):
            found = {}
        elif (number := RESULT.match(line.rstrip())) and evaluated == "test":
            found[number[1]] = float(number[2].replace(",", ""))
            last = found
    if last.get("total") and "correct" in last:
        return 100.0 * last["correct"] / last["total"], int(last["total"])
    if "accuracy" not in last:
        return None
    return last["accuracy"], int(last["total"]) if "total" in last else None


def _block(lines: Sequence[str], title: str) -> list[str]:
    """The lines below a title of asterisks, up to what follows it."""
    if title not in lines:
        return []
    block = []
    for line in lines[lines.index(title) + 2 :]:
        if line.strip() and not ENTRY.match(line):
            break
        block += [line] if line.strip() else []
    return block


def _arguments(lines: Sequence[str]) -> dict[str, str]:
    """Name to value of the command line; what is empty is left out."""
    entries = (ENTRY.match(line) for line in _block(lines, "** Arguments **"))
    return {entry[2]: entry[3].strip() for entry in entries if entry[3] and entry[3].strip() not in ("", "None")}


def _config(lines: Sequence[str]) -> dict[str, Any]:
    """The configuration as nested dictionaries; it is printed with two blanks a level, and text without quotes."""
    root: dict[str, Any] = {}
    nodes = [root]
    for line in _block(lines, "** Config **"):
        indent, key, text = ENTRY.match(line).groups()
        level = len(indent) // 2
        del nodes[level + 1 :]
        if text is None:
            nodes[level][key] = {}
            nodes.append(nodes[level][key])
        else:
            nodes[level][key] = _value(text)
    return root


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _of_config(config: dict[str, Any], arguments: dict[str, str]) -> RunRecord:
    try:
        trainer, dataset = config["TRAINER"]["NAME"], config["DATASET"]
        kdpl = config["TRAINER"].get("KDPL", {})
        classnames = "vocabulary" if kdpl.get("CLASS_AGNOSTIC") and trainer in FROM_TEACHER else "dataset"
        record = _record(trainer, classnames, dataset["NAME"], config["SEED"], dataset["NUM_SHOTS"])
        record.mode = "eval" if arguments.get("eval_only") == "True" or trainer in ZERO_SHOT else "train"
        record.backbone, record.config = config["MODEL"]["BACKBONE"]["NAME"], config
        record.subsample = dataset.get("SUBSAMPLE_CLASSES", "all")
        record.teacher = record.teacher and kdpl.get("TEACHER", NOT_RECORDED)
        return record
    except (KeyError, TypeError) as error:
        raise ValueError(f"has a configuration without {error}") from error


def _of_folders(path: Path) -> RunRecord:
    parts = path.parent.parts
    name = str(path.parent)
    seed, shots = re.search(r"seed(\d+)", name), re.search(r"shots_(\d+)|(\d+)shots", name)
    datasets = [NAMES[part] for part in parts if part in NAMES]
    trainers = [part for part in parts if part in FROM_LABELS + FROM_TEACHER + ZERO_SHOT]
    trainers += [after for part, after in zip(parts, parts[1:], strict=False) if part.startswith("shots_")]
    if not (seed and datasets and trainers):
        raise ValueError(
            "has no configuration in it, and its folders are not CoOp's: "
            "<part>/<dataset>/shots_<number>/<trainer>/<configuration>/seed<number>"
        )
    classnames = "dataset" if trainers[0] in FROM_LABELS else None
    drawn = int(shots[1] or shots[2]) if shots else -1
    record = _record(trainers[0], classnames, datasets[-1], int(seed[1]), drawn)
    if trainers[0] in ZERO_SHOT or {"test_base", "test_new", "evaluation"} & set(parts):
        record.mode = "eval"
    record.subsample = next((HALVES[part] for part in parts if part in HALVES), "all")
    return record


def _options_of_folders(path: Path, record: RunRecord) -> tuple[tuple[str, str], ...]:
    parts = path.parent.parts
    variant = parts[parts.index(record.trainer) + 1]
    return (("configuration", variant),) * (not variant.startswith("seed"))


def _record(trainer: str, classnames: str | None, dataset: str, seed: int, shots: int) -> RunRecord:
    distilled = trainer in FROM_TEACHER
    return RunRecord(
        mode="train", trainer=trainer, dataset=dataset, seed=seed, shots=shots, backbone=NOT_RECORDED,
        teacher=NOT_RECORDED if distilled else None,
        visible=Visible(
            labels_used=True if trainer in FROM_LABELS else False if distilled else None, classnames=classnames
        ),
    )  # fmt: skip
