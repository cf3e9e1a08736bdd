"""How long runs will take, going by finished ones: those that differ in nothing but the seed, else similar ones."""

import functools
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, median

from dassl.data.datasets import DATASET_REGISTRY
from yacs.config import CfgNode

from kdpl.run_record import FILE_NAME, RunRecord, finished_record

from .plan import FINISHED, cfg_of, state_of_part
from .runs import Part, Run

Kind = tuple  # what seconds per image depend on most


def seconds_of_run(run: Run) -> float | None:
    """How long what is left of a run will take.

    Parts of which there is none with another seed are taken to need as long per image as the same trainer and CLIPs did
    on other datasets or with other shots.

    Returns:
        Seconds; None if there is nothing to go by.
    """
    output = run.folder.parents[len(Path(run.name).parts) - 1]
    seconds = [_seconds_of_part(part, output) for part in run.parts if state_of_part(part)[0] != FINISHED]
    return None if None in seconds else sum(seconds)


def images_of_run(run: Run) -> float:
    """How many images still have to go through the models, counting each epoch."""
    todo = [part for part in run.parts if state_of_part(part)[0] != FINISHED]
    return sum(_images_of_part(part, cfg_of(part.arguments)[0]) for part in todo)


def total(seconds: Iterable[float | None]) -> tuple[float, int]:
    """The sum of those that are known, and the number of the others."""
    seconds = list(seconds)
    known = [s for s in seconds if s is not None]
    return sum(known), len(seconds) - len(known)


def _seconds_of_part(part: Part, output: Path) -> float | None:
    if seconds := _seconds_with_any_seed(Path(part.folder).parent):
        return seconds
    if not (rates := _seconds_an_image(output)):
        return None
    cfg, _ = cfg_of(part.arguments)
    rate, images = rates.get(_kind_of_part(part, cfg)), _images_of_part(part, cfg)
    return rate * images if rate and images else None


@functools.lru_cache(maxsize=4096)
def _seconds_with_any_seed(folder: Path) -> float | None:
    """On average over the finished runs that have a folder each, by seed, in this one."""
    records = [_record(file) for file in folder.glob(f"seed*/{FILE_NAME}")]
    return fmean(_seconds(record) for record in records if record) if any(records) else None


@functools.lru_cache(maxsize=8)
def _seconds_an_image(output: Path) -> dict[Kind, float]:
    """Of the finished runs below a folder, by kind."""
    rates: dict[Kind, list[float]] = {}
    for file in output.rglob(FILE_NAME):
        record = _record(file)
        if record and (images := _images_of_record(record)):
            rates.setdefault(_kind_of_record(record), []).append(_seconds(record) / images)
    return {kind: median(found) for kind, found in rates.items()}


@functools.lru_cache(maxsize=4096)
def _record(file: Path) -> RunRecord | None:
    try:
        return finished_record(file)
    except ValueError:
        return None


def _seconds(record: RunRecord) -> float:
    return sum(phase["seconds"] for phase in record.phases.values())


def _kind_of_record(record: RunRecord) -> Kind:
    agnostic = record.trains and record.config["TRAINER"]["KDPL"]["CLASS_AGNOSTIC"]
    return record.mode, record.trainer, record.backbone, record.teacher, agnostic


def _kind_of_part(part: Part, cfg: CfgNode) -> Kind:
    distils = part.trains and cfg.TRAINER.NAME.endswith("_KDPL")
    kdpl = cfg.TRAINER.KDPL
    return (
        "train" if part.trains else "eval", cfg.TRAINER.NAME, cfg.MODEL.BACKBONE.NAME,
        kdpl.TEACHER if distils else None, part.trains and kdpl.CLASS_AGNOSTIC,
    )  # fmt: skip


def _images_of_record(record: RunRecord) -> int:
    """Images that went through the models: in all epochs of a training, or in a test."""
    if record.trains:
        return record.visible.train_images * record.epochs
    return sum(evaluation.total for evaluation in record.evaluations)


def _images_of_part(part: Part, cfg: CfgNode) -> float:
    """As :func:`_images_of_record`, before anything is read; 0 where a dataset does not say how large it is."""
    dataset = DATASET_REGISTRY.get(cfg.DATASET.NAME)
    share = 1.0 if cfg.DATASET.SUBSAMPLE_CLASSES == "all" else 0.5
    n_train, _, n_test = dataset.n_images
    if not part.trains:
        return share * n_test
    drawn = min(n_train, cfg.DATASET.NUM_SHOTS * dataset.n_classes) if cfg.DATASET.NUM_SHOTS > 0 else n_train
    return share * drawn * cfg.OPTIM.MAX_EPOCH
