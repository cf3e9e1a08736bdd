"""Time estimates from finished runs: those that differ only in the seed, or else similar ones."""

import functools
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from dassl.data.datasets import DATASET_REGISTRY
from yacs.config import CfgNode

from kdpl.run_record import FILE_NAME, RunRecord, finished_record

from .plan import cfg_of, parts_left
from .runs import Part, Run

Kind = tuple  # what the seconds per image mostly depend on: mode, trainer, student, teacher, class-agnostic or not


def seconds_of_run(run: Run) -> float | None:
    """Seconds that the unfinished parts of a run will take; None if no finished run is similar enough to tell.

    A part that has not been run with any seed is assumed to take as long per image as the same trainer and CLIPs took
    on other datasets or with other numbers of shots.
    """
    output = run.folder.parents[len(Path(run.name).parts) - 1]
    seconds = [_seconds_of_part(part, output) for part in parts_left(run)]
    return None if None in seconds else sum(seconds)


def images_of_run(run: Run) -> float:
    """How many images still have to go through the models, counted once per epoch."""
    return sum(_images_of_part(part, cfg_of(part.arguments)[0]) for part in parts_left(run))


def total(seconds: Iterable[float | None]) -> tuple[float, int]:
    """The sum of the known values, and the number of unknown ones."""
    seconds = list(seconds)
    known = [s for s in seconds if s is not None]
    return sum(known), len(seconds) - len(known)


def _seconds_of_part(part: Part, output: Path) -> float | None:
    if seconds := _seconds_with_any_seed(Path(part.folder).parent):
        return seconds
    rates = _seconds_per_image(output)
    trainer, student = (part.arguments[part.arguments.index(flag) + 1] for flag in ("--trainer", "--backbone"))
    if not any((trainer, student) == kind[1:3] for kind in rates):
        return None  # before building the configuration, which takes a while
    cfg, _ = cfg_of(part.arguments)
    rate, images = rates.get(_kind_of_part(part, cfg)), _images_of_part(part, cfg)
    return rate * images if rate and images else None


@functools.lru_cache(maxsize=4096)
def _seconds_with_any_seed(folder: Path) -> float | None:
    """The mean over the finished runs in the folders of the seeds."""
    records = [record for file in folder.glob(f"seed*/{FILE_NAME}") if (record := _record(file))]
    return fmean(map(_seconds, records)) if records else None


@functools.lru_cache(maxsize=8)
def _seconds_per_image(output: Path) -> dict[Kind, float]:
    """The mean over all images of each kind; of the evaluations of a run, the first may do the work of all."""
    seconds, images = defaultdict(float), defaultdict(int)
    for file in output.rglob(FILE_NAME):
        record = _record(file)
        if record and (n_images := _images_of_record(record)):
            agnostic = record.trains and record.config["TRAINER"]["KDPL"]["CLASS_AGNOSTIC"]
            kind = (record.mode, record.trainer, record.backbone, record.teacher, agnostic)
            seconds[kind] += _seconds(record)
            images[kind] += n_images
    return {kind: seconds[kind] / images[kind] for kind in seconds}


@functools.lru_cache(maxsize=4096)
def _record(file: Path) -> RunRecord | None:
    try:
        return finished_record(file)
    except ValueError:
        return None


def _seconds(record: RunRecord) -> float:
    return sum(phase["seconds"] for phase in record.phases.values())


def _images_of_record(record: RunRecord) -> int:
    if record.trains:
        return record.visible.train_images * record.epochs
    return sum(evaluation.total for evaluation in record.evaluations)


def _kind_of_part(part: Part, cfg: CfgNode) -> Kind:
    mode, kdpl = "train" if part.trains else "eval", cfg.TRAINER.KDPL
    teacher = kdpl.TEACHER if part.trains and cfg.TRAINER.NAME.endswith("_KDPL") else None
    return mode, cfg.TRAINER.NAME, cfg.MODEL.BACKBONE.NAME, teacher, part.trains and kdpl.CLASS_AGNOSTIC


def _images_of_part(part: Part, cfg: CfgNode) -> float:
    """By the dataset's published size, so that no files are read; 0 for datasets that do not state it."""
    dataset = DATASET_REGISTRY.get(cfg.DATASET.NAME)
    share = 1.0 if cfg.DATASET.SUBSAMPLE_CLASSES == "all" else 0.5
    n_train, _, n_test = dataset.n_images
    if not part.trains:
        return share * n_test
    drawn = min(n_train, cfg.DATASET.NUM_SHOTS * dataset.n_classes) if cfg.DATASET.NUM_SHOTS > 0 else n_train
    return share * drawn * cfg.OPTIM.MAX_EPOCH
