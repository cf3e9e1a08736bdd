"""Level 2: zero-shot accuracies compared with published ones, starting with those that have exact counts."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from dassl.data.datasets import DATASET_REGISTRY

import datasets  # noqa: F401  registers them
from kdpl.clip.loading import load_clip
from kdpl.clip.precision import resolve_precision
from kdpl.clip.template_sets import CLIP_BENCHMARK, CLIP_BENCHMARK_DATASETS, clip_benchmark_names, template_set
from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.evaluation import Counts
from kdpl.images.files import read_image
from kdpl.images.transforms import evaluation_transform
from kdpl.verification.checks import FAIL, PASS, SKIPPED, Check, Report
from tools.sweep.protocols import NAMES
from trainers.kdpl.configuration import build_cfg

FILE = Path(__file__).parents[2] / "assets" / "published" / "zero_shot.csv"
NAMES_IN_FILE = {"ViT-H/14 dfn5b": "open_clip:ViT-H-14-quickgelu/dfn5b"}
TOLERANCE = 0.1  # points
BATCH = 100  # images


@dataclass(frozen=True)
class PublishedAccuracy:
    """One line of ``zero_shot.csv``.

    Attributes:
        templates: name of a template set, as accepted by :func:`template_set`.
        counts: numbers of correct and of all images, if published.
        certain: whether the source states its template.
    """

    model: str
    dataset: str
    templates: str
    accuracy: float
    counts: tuple[int, int] | None
    certain: bool
    source: str

    @property
    def title(self) -> str:
        return f"{self.model} on {self.dataset}, {self.templates}"


def published_accuracies() -> list[PublishedAccuracy]:
    """The published accuracies that can be measured here, exact counts first.

    It leaves out lines measured on other test images or averaged over classes (marked * in the file), and all lines of
    DataComp's ensemble, whose templates are not stated.
    """
    found = []
    with open(FILE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            model, dataset, template = (row[key] for key in ("model", "dataset", "template"))
            counts = re.search(r"\((\d+)/(\d+)\)", template)
            if counts:
                templates = CLIP_BENCHMARK + CLIP_BENCHMARK_DATASETS[dataset]
            elif template.startswith("a photo of a {}."):
                templates = "generic"
            else:
                continue
            found.append(
                PublishedAccuracy(
                    NAMES_IN_FILE.get(model, model), dataset, templates, float(row["accuracy"]),
                    (int(counts[1]), int(counts[2])) if counts else None, "inferred" not in template, row["source"],
                )
            )  # fmt: skip
    return sorted(found, key=lambda each: each.counts is None)


def run_level_2(report: Report, device: torch.device, models: Sequence[str], root: Path, precision: str) -> None:
    """Evaluate CLIPs on every dataset under the data root that has a published accuracy."""
    for model in models:
        rows = [row for row in published_accuracies() if row.model == model]
        if not rows:
            report.add(Check(2, model, SKIPPED, "no published zero-shot accuracy of this model can be measured here"))
        for row in rows:
            with report.guarded(2, row.title):
                report.add(_check(row, device, root, precision))


def _check(row: PublishedAccuracy, device: torch.device, root: Path, precision: str) -> Check:
    try:
        DATASET_REGISTRY.get(row.dataset).unopened(root).check_layout()
        templates = template_set(row.templates)
    except FileNotFoundError as error:
        return Check(2, row.title, SKIPPED, str(error).splitlines()[0])
    correct, total = evaluate(row.model, row.dataset, templates, row.templates != "generic", device, root, precision)
    accuracy = 100.0 * correct / total
    difference = abs(accuracy - row.accuracy)
    facts = {"correct": correct, "total": total, "published": row.accuracy, "source": row.source}
    message = f"{accuracy:.2f} % ({correct} of {total}); published: {row.accuracy:.2f} %"
    if row.counts:
        message += f" ({row.counts[0]} of {row.counts[1]})"
        facts["published_counts"] = list(row.counts)
        if total != row.counts[1]:
            return Check(2, row.title, FAIL, f"{message}; these are not the same test images", facts=facts)
    status = PASS if difference <= TOLERANCE else FAIL
    if status == FAIL and not row.certain:
        status, message = SKIPPED, message + "; the source does not state its template, so this is not conclusive"
    return Check(2, row.title, status, message, {"points": difference}, {"points": TOLERANCE}, facts)


@torch.no_grad()
def evaluate(
    model: str, dataset: str, templates: Sequence[str], names_of_clip_benchmark: bool, device: torch.device, root: Path,
    precision: str,
) -> tuple[int, int]:  # fmt: skip
    """Numbers of correctly classified and of all test images."""
    name = next(file for file, registered in NAMES.items() if registered == dataset)
    cfg = build_cfg([f"configs/datasets/{name}.yaml"], {"DATASET.ROOT": str(root), "DATASET.NUM_SHOTS": -1})
    data = DATASET_REGISTRY.get(dataset)(cfg)
    names = clip_benchmark_names(dataset, data.names) if names_of_clip_benchmark else data.names
    clip = load_clip(model)
    classifier = ZeroShotClassifier(
        clip, names, templates, device=device, precision=resolve_precision(precision, device)
    )
    transform = evaluation_transform(clip.preprocessing)
    images = _TestImages([(item.impath, item.label) for item in data.test], transform)
    loader = torch.utils.data.DataLoader(images, batch_size=BATCH, num_workers=cfg.DATALOADER.NUM_WORKERS)
    counts = Counts(data.names, device)
    for image, label in loader:
        counts.add(classifier(image.to(device)), label.to(device))
    result = counts.result()
    return result["correct"], result["total"]


class _TestImages(torch.utils.data.Dataset):
    def __init__(self, items: list[tuple[str, int]], transform):
        self.items, self.transform = items, transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        path, label = self.items[index]
        return self.transform(read_image(path)), label
