"""Published accuracies: which number belongs to which cell, and where it comes from."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .records import Setting

FOLDER = Path(__file__).parents[2] / "assets" / "published"
FILES = ("kdpl.csv", "base_methods.csv")
SHOTS = 16
PAPER_TEACHER = "open_clip:ViT-H-14-quickgelu/dfn5b"  # of all published KDPL accuracies
STUDENTS = {name: name for name in ("RN50", "RN101", "ViT-B/32", "ViT-B/16", "ViT-L/14")} | {PAPER_TEACHER: "ViT-H/14"}
ZERO_SHOT = ("CLIP (student)", "CLIP (teacher)", "CLIP")
DATASETS = {"DescribableTextures": "DTD"}
SETTINGS = {
    "base to new": ("base2new", "base2new_new_classes"),
    "cross-dataset": ("cross_dataset",),
    "domain generalisation": ("domain_generalization",),
}
METRICS = {
    "accuracy": ("top1_accuracy", "top1_accuracy_from_vector"),
    "base": ("top1_accuracy_base",),
    "new": ("top1_accuracy_new",),
    "harmonic mean": ("harmonic_mean",),
}


@dataclass(frozen=True)
class Published:
    """One number in percent, its place in our files (lines count from 1, the header), and its source."""

    value: float
    file: str
    line: int
    source: str


@cache
def published_accuracies() -> dict[tuple[str, str, str, str, str], Published]:
    """All published accuracies, by setting, student, method, dataset and metric."""
    found: dict[tuple[str, str, str, str, str], Published] = {}
    for name in FILES:
        with open(FOLDER / name, encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                key = (row["setting"], row["student"], row["method"], row["dataset"], row["metric"])
                if key in found:
                    raise ValueError(f"{name} line {line} and {found[key].file} line {found[key].line} are both {key}")
                found[key] = Published(float(row["value"]), name, line, row["source"])
    return found


def find_published(protocol: str, setting: Setting, shots: int | None, dataset: str, metric: str) -> Published | None:
    """The published number for a cell, if there is one.

    Args:
        protocol: a key of SETTINGS; others have no published numbers.
        shots: of the training; only 16 shots and zero-shot results were published.
        dataset: a registered name, or Average_11, Average_10, Average_4_targets.
        metric: a key of METRICS.
    """
    if (shots != SHOTS and not setting.zero_shot) or setting.backbone not in STUDENTS:
        return None
    known = published_accuracies()
    for setting_name in SETTINGS.get(protocol, ()):
        for method in _published_methods(setting):
            for metric_name in METRICS[metric]:
                key = (setting_name, STUDENTS[setting.backbone], method, DATASETS.get(dataset, dataset), metric_name)
                if key in known:
                    return known[key]
    return None


def _published_methods(setting: Setting) -> tuple[str, ...]:
    if setting.zero_shot:
        return ZERO_SHOT if setting.trainer == "ZeroshotCLIP" else ()
    if not setting.distilled:
        return (setting.base_method,) if setting.labels_used else ()
    if setting.classnames is None:
        return ()
    return (f"{setting.base_method}+KDPL{'-CA' if setting.classnames == 'vocabulary' else ''}",)
