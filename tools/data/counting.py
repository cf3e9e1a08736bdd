"""What a benchmark should contain, and what is on disk."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from datasets.few_shot import FewShotDataset
from datasets.image_check import NAMED, unusable_images
from datasets.splits import PARTS, Split


@dataclass
class Findings:
    """The state of one dataset.

    Attributes:
        counts: for train, val and test: the images published, in the split read, and on disk.
        problems: one sentence each; empty if the dataset is complete.
        split: the split, if it could be read.
        missing: paths of images that are not on disk.
    """

    counts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    split: Split | None = None
    missing: list[str] = field(default_factory=list)


def examine(dataset: FewShotDataset, decode: bool = False) -> Findings:
    """Compare a dataset with what was published.

    Args:
        dataset: from :meth:`FewShotDataset.unopened`.
        decode: also open every image; intact ones are remembered.
    """
    findings = Findings()
    if not dataset.folder.is_dir():
        findings.problems.append(f"{dataset.folder} does not exist")
        return findings
    absent = [name for name in dataset.needed_paths() if not (dataset.folder / name).exists()]
    findings.problems += [f"{dataset.folder / name} does not exist" for name in absent]
    try:
        findings.split = split = dataset.read_split()
    except (FileNotFoundError, ValueError) as error:
        findings.problems += [str(error).splitlines()[0]] * (not absent)
        return findings
    existing = existing_files(dataset.images, {item.path for part in PARTS for item in getattr(split, part)})
    for part, published in zip(PARTS, dataset.n_images, strict=True):
        items = [] if part == "train" and dataset.test_only else getattr(split, part)
        missing = [item.path for item in items if item.path not in existing]
        findings.missing += missing
        findings.counts[part] = published, len(items), len(items) - len(missing)
        if missing:
            findings.problems.append(f"{len(missing):,} {part} images are missing; the first is {missing[0]}")
        elif len(items) != published:
            findings.problems.append(f"{part} has {len(items):,} images; {published:,} were published")
    if len(split.classnames) != dataset.n_classes:
        findings.problems.append(f"{len(split.classnames)} classes; {dataset.n_classes} were published")
    if decode:
        faults = unusable_images(dataset.images, sorted(existing), dataset.folder)
        findings.problems += [f"{path} cannot be read: {fault}" for path, fault in list(faults.items())[:NAMED]]
        findings.problems += [f"{len(faults) - NAMED:,} more cannot be read"] * (len(faults) > NAMED)
    return findings


def existing_files(folder: Path, paths: Iterable[str]) -> set[str]:
    """Which of the relative ``paths`` are files below ``folder``; lists each folder only once."""
    paths = set(paths)
    listed: set[str] = set()
    for parent in {path.rpartition("/")[0] for path in paths}:
        try:
            with os.scandir(folder / parent) as entries:
                listed |= {f"{parent}/{entry.name}" if parent else entry.name for entry in entries if entry.is_file()}
        except OSError:
            continue
    return paths & listed
