"""Runs that left only Dassl's ``log.txt``, such as earlier runs with CoOp and code bases derived from it.

A log begins with the command line and the configuration, which say what was run.
"""

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdpl.methods import METHODS
from kdpl.outside import read_bytes
from kdpl.run_record import Evaluation, RunRecord, Visible
from trainers.kdpl.config import ZERO_SHOT

from .records import Run, setting_of

ORIGIN = "Dassl log"
NOT_RECORDED = "not recorded"
RESULT = re.compile(r"^\* (total|correct|accuracy): ([\d.,]+)%?$")
ENTRY = re.compile(r"^( *)([A-Za-z0-9_]+):(?: (.*))?$")


def read_log(path: Path) -> Run:
    """Read the run of one log."""
    lines = read_bytes(path, "log").decode("utf-8", errors="replace").splitlines()
    result = _last_test_result(lines)
    if result is None and "Finish training" not in lines:
        raise ValueError("has neither a test result nor the end of a training: the run was not finished")
    record = _record(_config(lines), _arguments(lines))
    if result:
        accuracy, total = result
        record.evaluations = [Evaluation(record.dataset, subsample=record.subsample, accuracy=accuracy, total=total)]
    return Run(path, record, setting_of(record, ORIGIN))


def _last_test_result(lines: Sequence[str]) -> tuple[float, int | None] | None:
    """Accuracy in percent, from exact counts if the log has them, and the number of test images; None without one."""
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
    """The lines under a title in asterisks."""
    if title not in lines:
        return []
    block = []
    for line in lines[lines.index(title) + 2 :]:
        if line.strip() and not ENTRY.match(line):
            break
        block += [line] if line.strip() else []
    return block


def _arguments(lines: Sequence[str]) -> dict[str, str]:
    """The command line by name, without empty values."""
    entries = (ENTRY.match(line) for line in _block(lines, "** Arguments **"))
    return {entry[2]: entry[3].strip() for entry in entries if entry[3] and entry[3].strip() not in ("", "None")}


def _config(lines: Sequence[str]) -> dict[str, Any]:
    """The configuration as nested dictionaries; it is printed with two spaces per level, and text without quotes."""
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


def _record(config: dict[str, Any], arguments: dict[str, str]) -> RunRecord:
    try:
        trainer, dataset = config["TRAINER"]["NAME"], config["DATASET"]
        kdpl = config["TRAINER"].get("KDPL", {})
        distilled = trainer.removesuffix("_KDPL") in METHODS and trainer.endswith("_KDPL")
        return RunRecord(
            mode="eval" if arguments.get("eval_only") == "True" or trainer in ZERO_SHOT else "train",
            trainer=trainer,
            dataset=dataset["NAME"],
            subsample=dataset.get("SUBSAMPLE_CLASSES", "all"),
            seed=config["SEED"],
            shots=dataset["NUM_SHOTS"],
            backbone=config["MODEL"]["BACKBONE"]["NAME"],
            teacher=kdpl.get("TEACHER", NOT_RECORDED) if distilled else None,
            config=config,
            model_dir=arguments.get("model_dir"),
            visible=Visible(
                labels_used=True if trainer in METHODS else False if distilled else None,
                classnames="vocabulary" if distilled and kdpl.get("CLASS_AGNOSTIC") else "dataset",
            ),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"does not say what was run: its configuration lacks {error}") from error
