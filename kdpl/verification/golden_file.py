"""Golden numbers from the published implementation: reading the file, and generating the inputs."""

import importlib.util
import json
import math
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..clip.openai import tokenize

GOLDEN = Path(__file__).parents[1] / "golden"  # part of the package
PUBLIC = GOLDEN / "golden_public.json"
FORMAT = 1


def read_golden(file: Path) -> tuple[dict, ModuleType]:
    """Read a golden file and its generator, the ``weights.py`` beside it or else in kdpl/golden.

    Raises:
        FileNotFoundError: if the file or the generator is missing.
        ValueError: if it is not a golden file, or was made with another tokenizer.
    """
    try:
        golden = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # includes bytes that are not UTF-8
        raise ValueError(f"{file} is not JSON: {error}") from error
    needed = {"base_seed", "classnames", "cases"}
    if not isinstance(golden, dict) or needed - golden.keys() or not isinstance(golden["cases"], dict):
        raise ValueError(f"{file} is not a golden file, which is an object with {', '.join(sorted(needed))}.")
    if golden.get("format", FORMAT) != FORMAT:
        raise ValueError(f"{file} has format {golden['format']!r}, but only format {FORMAT} is supported.")
    weights = _weights_module(file)
    golden = {"streams": weights.STREAMS, "archs": {}, "fingerprints": {}, "tokens": {}} | _without_nulls(golden)
    for text, ids in golden["tokens"].items():
        ours = tokenize([text])[0].tolist()
        if ours[: len(ids)] != ids or any(ours[len(ids) :]):
            raise ValueError(f"{file} was made with another tokenizer, which encodes {text!r} as {ids}.")
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
    """Treat null values as missing."""
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
    raise FileNotFoundError(f"weights.py, which generates the models, is neither beside {file} nor in {GOLDEN}.")


class Inputs:
    """Weights, images and labels that ``weights.py`` generates for a golden file; each weights file is written once."""

    def __init__(self, golden: dict, weights: ModuleType, folder: Path):
        self.golden, self.weights, self.folder = golden, weights, folder
        self.seed = {name: golden["base_seed"] + offset for name, offset in golden["streams"].items()}

    @cached_property
    def resolution(self) -> int:
        first = next(iter(self.golden["cases"].values()))
        return self.golden.get("resolution") or self._spec(first["arch"])["resolution"]

    def images(self, tag: str, n: int) -> Tensor:
        """(n, 3, resolution, resolution), normalised."""
        array = self.weights.images(tag, n, self.resolution, self.seed["data"])
        self._check(f"images/{tag}", array)
        return torch.from_numpy(array)

    def labels(self, tag: str, n: int) -> Tensor:
        return torch.from_numpy(self.weights.labels(tag, n, len(self.golden["classnames"]), self.seed["data"]))

    def learnable(self, name: str, shape: list[int]) -> Tensor:
        return torch.from_numpy(self.weights.tensor(name, shape, self.seed["learnable"]))

    def clip_file(self, role: str, arch: str, fingerprinted: bool) -> Path:
        """The weights of the "student" or the "teacher" as a safetensors file."""
        from safetensors.torch import save_file

        file = self.folder / f"{role}-{arch.replace('/', '-')}.safetensors"
        if not file.exists():
            state_dict = self.weights.torch_state_dict(self._spec(arch), self.seed[role])
            for name, tensor in state_dict.items():
                if fingerprinted:
                    self._check(name, tensor.numpy(), self.golden["fingerprints"].get(arch, {}))
            save_file({name: tensor.contiguous() for name, tensor in state_dict.items()}, file)
        return file

    def _spec(self, arch: str) -> dict:
        return self.golden["archs"].get(arch) or self.weights.ARCHS[arch]

    def _check(self, name: str, array: np.ndarray, fingerprints: dict | None = None) -> None:
        fingerprint = (self.golden["fingerprints"] if fingerprints is None else fingerprints).get(name)
        if not fingerprint or list(array.shape) != fingerprint["shape"] and name.startswith("images/"):
            return  # the fingerprint is of another number of images
        same_sum = math.isclose(array.astype(np.float64).sum(), fingerprint["sum"], rel_tol=1e-6, abs_tol=1e-6)
        if list(array.shape) != fingerprint["shape"] or not same_sum:
            raise ValueError(f"{name} from weights.py differs from the one that the golden file was made with")
