"""A golden file: read, checked, and with what it may leave out filled in."""

import importlib.util
import json
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import kdpl.golden
from kdpl.clip.openai import tokenize

ROOT = Path(__file__).parents[2]
GOLDEN = Path(kdpl.golden.__file__).parent  # what the package brings
FORMAT = 1


def read_golden(file: Path) -> tuple[dict, ModuleType]:
    """The content of a golden file, and the generator ``weights.py`` beside it or in kdpl/golden.

    Raises:
        FileNotFoundError: if the file or the generator is missing.
        ValueError: if it is no golden file, or one for another tokenizer.
    """
    try:
        golden = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # also bytes that are no text
        raise ValueError(f"{file} is not JSON: {error}") from error
    needed = {"base_seed", "classnames", "cases"}
    if not isinstance(golden, dict) or needed - golden.keys() or not isinstance(golden["cases"], dict):
        raise ValueError(f"{file} is no golden file: it needs an object with {', '.join(sorted(needed))}.")
    if golden.get("format", FORMAT) != FORMAT:
        raise ValueError(f"{file} has format {golden['format']!r}; this runner knows format {FORMAT}.")
    weights = _weights_module(file)
    golden = {"streams": weights.STREAMS, "archs": {}, "fingerprints": {}, "tokens": {}} | _without_nulls(golden)
    for text, ids in golden["tokens"].items():
        ours = tokenize([text])[0].tolist()
        if ours[: len(ids)] != ids or any(ours[len(ids) :]):
            raise ValueError(f"{file} was made with another tokenizer: {text!r} is {ids} there.")
    golden["cases"] = {name: _complete(case) for name, case in golden["cases"].items()}
    return golden, weights


def _complete(case: dict) -> dict:
    defaults = {"dataset": "Caltech101", "class_agnostic": False, "one_step_per_epoch": False, "opts": []}
    case = defaults | {"learnable": {}, "prepared": {}, "features_before": {}, "steps": []} | case
    if isinstance(case["opts"], dict):
        case["opts"] = list(chain(*case["opts"].items()))
    elif case["opts"] and isinstance(case["opts"][0], list):
        case["opts"] = list(chain(*case["opts"]))
    return case


def _without_nulls(content: Any) -> Any:
    """What is null counts as left out."""
    if isinstance(content, dict):
        return {key: _without_nulls(value) for key, value in content.items() if value is not None}
    return [_without_nulls(value) for value in content] if isinstance(content, list) else content


def _weights_module(file: Path) -> ModuleType:
    for folder in (file.parent, GOLDEN):
        if (folder / "weights.py").is_file():
            spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError(f"weights.py, which makes the models, is neither beside {file} nor in {GOLDEN}.")
