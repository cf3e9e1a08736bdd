"""Level 0: golden numbers from the published implementation, using only this package."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from ..clip.loading import load_clip
from ..clip.precision import Precision, resolve_precision
from ..clip.weight_files import read_state_dict
from ..fingerprints import sha256_of
from .checks import FAIL, PASS, SKIPPED, Check, Report
from .errors import HALF_TOLERANCE, TOLERANCE, Errors
from .golden_case import run_case
from .golden_file import PUBLIC, Inputs, read_golden
from .golden_subject import Load, build_subject
from .towers import check_features, check_pixels, check_tensors

GENERATED = "the generated CLIP"


def usual_precision(device: torch.device) -> str:
    """The precision normally used on a device: bfloat16 on CUDA, float32 elsewhere."""
    return "bf16" if device.type == "cuda" else "fp32"


def run_level_0(
    report: Report, device: torch.device, compiled: bool = False, load: Load = load_clip,
    only: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Check tokens, towers, pixels, and every golden case in float32 and in the device's usual precision.

    Args:
        compiled: also run the cases with compiled steps.
        load: loads a CLIP from a file.
        only: run only these golden cases.
    """
    with tempfile.TemporaryDirectory() as folder, report.guarded(0, "golden numbers"):
        golden, weights = read_golden(PUBLIC)  # compares token ids
        count, facts = len(golden["tokens"]), {"sha256": sha256_of(PUBLIC), "made_with": golden.get("versions", {})}
        report.add(Check(0, "tokens", PASS, f"token ids of {count} known texts match CLIP's", facts=facts))
        inputs = Inputs(golden, weights, Path(folder))
        with report.guarded(0, "towers"):
            file = str(inputs.clip_file("student", "vit_s", fingerprinted=True))
            clip, state_dict = load(file), read_state_dict(file)
            report.add(check_tensors(0, clip, state_dict, GENERATED))
            report.add(check_features(0, clip, state_dict, GENERATED))
            report.add(check_pixels(0, clip.preprocessing))
        precisions = dict.fromkeys(["fp32", usual_precision(device)])
        for name in precisions:
            precision = resolve_precision(name, device)
            for case in golden["cases"] if only is None else only:
                _run(report, inputs, case, device, precision, load)
                if compiled:
                    _run(report, inputs, case, device, precision, load, "compiled")
        report.add(
            Check(
                0, "KgCoOp", SKIPPED, "no golden numbers exist; tests/test_kgcoop.py checks it against the paper's loss"
            )
        )


def _run(
    report: Report, inputs: Inputs, name: str, device: torch.device, precision: Precision, load: Load,
    kind_of_step: str = "plain",
) -> None:  # fmt: skip
    title = f"{name}, {precision.name}" + f", {kind_of_step}" * (kind_of_step != "plain")
    with report.guarded(0, title):
        case = inputs.golden["cases"][name]
        errors = Errors(TOLERANCE if precision.autocast_dtype is None else HALF_TOLERANCE)
        run_case(case, inputs, build_subject(case, inputs, device, precision, load, kind_of_step), errors)
        report.add(
            Check(
                0, title, PASS if errors.passed else FAIL, errors.line(),
                {kind: error for kind, (error, _) in errors.worst.items()},
                {kind: errors.tolerance[kind] for kind in errors.worst},
            )
        )  # fmt: skip
