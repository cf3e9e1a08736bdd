"""Plausibility checks of run records: types of values, and consistent counts."""

from collections.abc import Mapping
from typing import Any

from .ranges import FLAG, Range, one_of, real, text, whole

_MAPPING = Range("a mapping", lambda value: isinstance(value, dict))
_LIST = Range("a list", lambda value: isinstance(value, list))
_COUNT, _PERCENT = whole(0), real(0, 100)


def _or_none(values: Range) -> Range:
    return Range(f"{values.words}, or nothing", lambda value: value is None or values.holds(value))


NEEDED = {
    "mode": one_of("train", "eval"),
    "trainer": text(empty=False),
    "dataset": text(empty=False),
    "seed": whole(-(2**63), 2**63),
    "shots": whole(-(2**63), 2**63),
    "backbone": text(empty=False),
}
KNOWN = NEEDED | {
    "subsample": text(),
    "teacher": _or_none(text()),
    "epochs": _COUNT,
    "config": _MAPPING,
    "weights_sha256": _or_none(_MAPPING),
    "visible": _or_none(_MAPPING),
    "evaluations": _LIST,
    "phases": _MAPPING,
    "versions": _MAPPING,
    **dict.fromkeys(("classnames_sha256", "split_sha256", "device", "prompts_sha256", "model_dir"), _or_none(text())),
}
EVALUATION = {
    "dataset": text(empty=False),
    "split": text(),
    "subsample": text(),
    "correct": _or_none(_COUNT),
    "total": _or_none(whole(1)),
    "accuracy": _or_none(_PERCENT),
    "macro_f1": _or_none(_PERCENT),
    "ece": _or_none(_PERCENT),
    "per_class": _or_none(_LIST),
}
CLASS = {"classname": text(), "correct": _COUNT, "total": _COUNT}
VISIBLE = {"train_images": _or_none(_COUNT), "labels_used": _or_none(FLAG), "classnames": _or_none(text())}


def check_record(content: Mapping[str, Any]) -> None:
    """Refuse a record with values of the wrong type, or with impossible counts.

    Raises:
        ValueError: naming the first such value.
    """
    _check(content, KNOWN, NEEDED, "")
    _check(content.get("visible") or {}, VISIBLE, (), "visible ")
    for name, phase in content.get("phases", {}).items():
        _MAPPING.check(f"is invalid: phase {name}", phase)
        _check(phase, dict.fromkeys(phase, real(0, 1e12)), (), f"phase {name} ")
    for evaluation in content.get("evaluations", []):
        _MAPPING.check("is invalid: an evaluation", evaluation)
        _check(evaluation, EVALUATION, ("dataset",), "evaluation ")
        _check_counts(evaluation, "the evaluation")
        for one in evaluation.get("per_class") or []:
            _MAPPING.check("is invalid: a class", one)
            _check(one, CLASS, CLASS, "class ")
            _check_counts(one, f"class {one['classname']}")


def _check(content: Mapping[str, Any], known: Mapping[str, Range], needed: Any, where: str) -> None:
    if missing := [name for name in needed if name not in content]:
        raise ValueError(f"is incomplete: it has no {where}{', no '.join(missing)}")
    for name, values in known.items():
        if name in content:
            values.check(f"is invalid: {where}{name}", content[name])


def _check_counts(content: Mapping[str, Any], what: str) -> None:
    correct, total = content.get("correct"), content.get("total")
    if correct is not None and total is not None and correct > total:
        raise ValueError(f"is invalid: {what} has {correct} correct of {total} images")
    accuracy = content.get("accuracy")
    if None not in (correct, total, accuracy) and abs(accuracy - 100 * correct / total) > 0.01:
        raise ValueError(f"is invalid: {what} has {correct} of {total} correct, and an accuracy of {accuracy}")
