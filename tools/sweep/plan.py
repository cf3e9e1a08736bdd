"""From a sweep file to runs: what each of them trains and tests, in which folders, and what is already done."""

import contextlib
import copy
import functools
import io
import itertools
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dassl.data.datasets import DATASET_REGISTRY
from yacs.config import CfgNode

import train
from kdpl.clip.templates import GENERIC
from kdpl.distillation import resume
from kdpl.distillation.teacher import clips_of_teacher
from kdpl.methods import METHODS
from kdpl.names import check_known
from kdpl.ranges import check_all
from kdpl.run_record import FILE_NAME, finished_record
from trainers.kdpl.config import RANGES, default_settings, method_settings, of_evaluation, settings_of
from trainers.kdpl.configuration import build_cfg
from trainers.kdpl.finished import is_finished

from . import protocols
from .choice import Choice, choose, slug
from .runs import CLAIM, LOG, Part, Run
from .spec import TRAINED, Block, Spec

FEATURES = ".features"  # the cache that all runs of an output folder share
FROM_ALL_CLASSES = "--from-all-classes"  # evaluations of one run on all, base and new classes share their outputs
OF_ONE_RUN = ("SEED", "OUTPUT_DIR")  # keys that differ between runs which are otherwise alike
FINISHED, UNFINISHED, STALE, MISSING = "finished", "unfinished", "stale", "missing"


def plan(spec: Spec, root: Path, output: Path, zeroshot_shots: int = protocols.ZEROSHOT_SHOTS) -> list[Run]:
    """All runs of a sweep, each once; evaluations of the same prompts are parts of the same run.

    Args:
        root: folder with the datasets.
        output: folder for the results.
        zeroshot_shots: the number of shots in the folder names of zero-shot results.

    Raises:
        ValueError, FileNotFoundError: if a dataset, configuration or CLIP does not exist, settings do not fit, or two
            blocks ask for different things in the same folder.
    """
    parts: dict[str, dict[str, Part]] = {}
    for block in spec.blocks:
        _check_datasets_and_options(block)
        for run in _RunsOfBlock(block, root, output, zeroshot_shots):
            parts_of_run = parts.setdefault(run.name, {})
            for part in run.parts:
                known = parts_of_run.setdefault(part.folder, part)
                if known.arguments != part.arguments and _settings(known) != _settings(part):
                    raise ValueError(
                        f"Two blocks want different runs in {part.folder}:\n  {' '.join(known.arguments)}\n"
                        f"  {' '.join(part.arguments)}\nGive them the same settings, or give one of "
                        "them a `variant`, which becomes part of its folders' names."
                    )
    return [Run(name, tuple(parts_of_run.values())) for name, parts_of_run in parts.items()]


def _check_datasets_and_options(block: Block) -> None:
    """Find mistakes that would otherwise show only after training, or make every run fail."""
    for dataset in dict.fromkeys(_datasets(block)):
        cfg = build_cfg([f"configs/datasets/{dataset}.yaml"], {}, _pairs(block.options))
        check_known(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset", "DATASET.NAME")


def _datasets(block: Block) -> tuple[str, ...]:
    return (block.source, *block.datasets) if block.source else block.datasets


def _pairs(options: Mapping[str, Any]) -> list[str]:
    """Keys and values in turn, as at the end of train.py's command line."""
    return [str(x) for pair in options.items() for x in pair]


class _RunsOfBlock:
    """Iterates over the combinations of a block; a run that several combinations share comes once for each."""

    def __init__(self, block: Block, root: Path, output: Path, zeroshot_shots: int):
        self.block, self.root, self.output, self.zeroshot_shots = block, root, output, zeroshot_shots
        self.others = block.datasets if block.source else ()  # further datasets that prompts are tested on

    def __iter__(self) -> Iterator[Run]:
        block = self.block
        for student, methods in block.students.items():
            for setting in block.settings:
                for dataset in [block.source] if block.source else block.datasets:
                    if setting not in TRAINED:
                        yield from self.zeroshot(dataset, setting, student, methods[0])
                        continue
                    for method in methods:
                        chosen, trainer = self.chosen(dataset, method, setting, student)
                        for shots, seed in itertools.product(block.shots, block.seeds):
                            yield self.trained(dataset, shots, trainer, chosen, seed)

    def chosen(self, dataset: str, method: str, setting: str, student: str) -> tuple[Choice, str]:
        """What to train, and the trainer's name."""
        trainer = method if setting == "labels" else f"{method}_KDPL"
        epochs = self.block.epochs.get(method)
        with contextlib.redirect_stdout(io.StringIO()):  # notes about precision, which train.py prints as well
            chosen = choose(
                dataset,
                trainer,
                cfg=self.block.cfgs.get(method),
                student=student,
                teacher=self.block.teacher or None,
                class_agnostic=setting == "kdpl_ca",
                epochs=str(epochs) if epochs else None,
                transfers=self.block.protocol in protocols.FROM_A_SOURCE,
            )
        return chosen, trainer

    def trained(self, dataset: str, shots: int, trainer: str, chosen: Choice, seed: int) -> Run:
        """A training and its evaluations."""

        def part(title: str, name: str, on: str, classes: str, *flags: str, pairs: tuple = ()) -> Part:
            settings = f"{chosen.folder}__{slug(self.block.variant)}" if self.block.variant else chosen.folder
            folder = protocols.run_folder(name, on, shots, trainer, settings, seed)
            model = (f"{trainer}/{chosen.cfg}", trainer, chosen.student)
            return self.part(title, folder, on, classes, shots, seed, *model, flags, chosen.pairs + pairs)

        no_test = ("TEST.NO_TEST", "True")  # the evaluations are separate parts
        if self.block.protocol == "base2new":
            title = f"training {trainer} on base classes"
            training = part(title, protocols.TRAIN_BASE, dataset, "base", pairs=no_test)
            specific = _is_class_specific(training)
            shared = () if specific else (FROM_ALL_CLASSES,)
            tests = [
                (f"{trainer} on {classes} classes", name, dataset, classes, *shared)
                for classes, name in protocols.BASE2NEW_TESTS.items()
                if classes != "all" or not specific
            ]
        else:
            title = f"training {trainer} on {dataset}, {shots} shots"
            training = part(title, protocols.TRAIN_ALL, dataset, "all", pairs=no_test)
            tests = [
                (f"{trainer} of {dataset} on {on}", protocols.test_from(dataset), on, "all")
                for on in dict.fromkeys((dataset, *self.others))
            ]
        return self.run(training, *(part(*test, "--eval-only", "--model-dir", training.folder) for test in tests))

    def zeroshot(self, dataset: str, setting: str, student: str, method: str) -> Iterator[Run]:
        """Evaluations of hand-written prompts."""
        trained = "labels" if set(TRAINED).intersection(self.block.settings) == {"labels"} else "kdpl"
        chosen, trainer = self.chosen(dataset, method, trained, student)
        pairs = ("DATASET.TEMPLATE", GENERIC) if setting == "zeroshot_student_generic" else ()

        def part(clip: str, name: str, on: str, classes: str) -> Part:
            shots, seed = self.zeroshot_shots, protocols.ZEROSHOT_SEED
            variant = slug(clip) + "__template_generic" * bool(pairs)
            folder = protocols.run_folder(name, on, shots, "ZeroshotCLIP", variant, seed)
            title, model = f"zero-shot {clip} on {classes} classes", (f"{trainer}/{chosen.cfg}", "ZeroshotCLIP", clip)
            flags = ("--eval-only", *[FROM_ALL_CLASSES] * (self.block.protocol == "base2new"))
            return self.part(title, folder, on, classes, shots, seed, *model, flags, pairs)

        for clip in clips_of_teacher(chosen.teacher) if setting == "zeroshot_teacher" else [chosen.student]:
            if self.block.protocol == "base2new":
                yield self.run(*(part(clip, name, dataset, half) for half, name in protocols.BASE2NEW_TESTS.items()))
            else:
                for on in dict.fromkeys((dataset, *self.others)):
                    yield self.run(part(clip, protocols.ZEROSHOT_ALL, on, "all"))

    def part(
        self, title: str, folder: str, on: str, classes: str, shots: int, seed: int, cfg: str, trainer: str,
        backbone: str, flags: tuple, pairs: tuple,
    ) -> Part:  # fmt: skip
        """The command line of train.py for one dataset and one set of its classes."""
        folder = str(self.output / folder)
        return Part(folder, (
            "--root", str(self.root), "--seed", str(seed), "--output-dir", folder,
            "--dataset-config-file", f"configs/datasets/{on}.yaml",
            "--config-file", f"configs/trainers/{cfg}.yaml", "--trainer", trainer, "--backbone", backbone, *flags,
            "DATASET.NUM_SHOTS", str(shots), "DATASET.SUBSAMPLE_CLASSES", classes,
            "TRAINER.KDPL.CACHE_DIR", str(self.output / FEATURES), *pairs, *_pairs(self.block.options),
        ), title)  # fmt: skip

    def run(self, *parts: Part) -> Run:
        return Run(str(Path(parts[0].folder).relative_to(self.output)), parts)


def _is_class_specific(training: Part) -> bool:
    """Whether a training run learns contexts that fit only its own classes."""
    arguments = list(training.arguments)
    for name in ("--seed", "--output-dir", "DATASET.NUM_SHOTS"):  # of no influence; one value, so that the cache is hit
        arguments[arguments.index(name) + 1] = "1"
    cfg, _ = cfg_of(tuple(arguments))
    method = METHODS[cfg.TRAINER.NAME.removesuffix("_KDPL")]
    return method.is_class_specific(method_settings(cfg, method))


def _settings(part: Part) -> dict[str, object]:
    """The settings that the results of a part depend on."""
    settings = settings_of(cfg_of(part.arguments)[0])
    return settings if part.trains else of_evaluation(settings)


def parts_left(run: Run) -> list[Part]:
    """The parts that are not finished."""
    return [part for part in run.parts if state_of_part(part)[0] != FINISHED]


def state_of_run(run: Run) -> tuple[str, str]:
    """FINISHED, UNFINISHED, STALE or MISSING, and for a stale run the reason."""
    states = dict(map(state_of_part, reversed(run.parts)))  # with the first reason
    if STALE in states:
        return STALE, states[STALE]
    return (next(iter(states)) if len(states) == 1 else UNFINISHED), ""


def state_of_part(part: Part) -> tuple[str, str]:
    """Like :func:`state_of_run`. Stale means made with another configuration, other weights or other prompts."""
    record, unfinished = (Path(part.folder) / name for name in (FILE_NAME, resume.FILE_NAME))
    if not record.exists() and not unfinished.exists():
        return MISSING, ""
    cfg, args = cfg_of(part.arguments)
    try:
        if is_finished(cfg, args.eval_only, args.model_dir):
            return FINISHED, ""
        if finished_record(record) is not None:
            return STALE, f"{part.folder} has results from other settings, weights or prompts"
        if part.trains and unfinished.is_file():
            resume.read_resume_state(unfinished, settings_of(cfg), default_settings(), settings_of)
            return UNFINISHED, ""
    except ValueError as error:
        return STALE, str(error)
    return MISSING, ""


@functools.lru_cache(maxsize=4096)
def cfg_of(arguments: tuple[str, ...]) -> tuple:
    """The configuration and flags of a command line of train.py.

    Configurations that differ only in seed and folder share everything else; they are frozen.
    """
    args = train.parse(arguments)
    flags = {key: getattr(args, flag) for flag, key in train.FLAGS.items() if getattr(args, flag) is not None}
    own = {key: flags.pop(key) for key in OF_ONE_RUN if key in flags and key not in args.opts}
    cfg = copy.copy(_merged((args.dataset_config_file, args.config_file), tuple(flags.items()), tuple(args.opts)))
    check_all(own, RANGES, {})
    cfg.update(own)
    return cfg, args


@functools.lru_cache(maxsize=1024)
def _merged(files: tuple[str, ...], flags: tuple[tuple[str, object], ...], pairs: tuple[str, ...]) -> CfgNode:
    return build_cfg(files, dict(flags), pairs)


def set_aside(folder: Path) -> Path:
    """Move a stale run's files into a hidden folder that nothing reads; returns that folder."""
    aside = folder / f".replaced-{time.strftime('%Y-%m-%d-%H-%M-%S')}"
    aside.mkdir(parents=True, exist_ok=True)
    for entry in [folder / FILE_NAME, *folder.iterdir()]:  # the record first: without it the run is not finished
        if entry.exists() and entry.name != LOG and not entry.name.startswith((CLAIM, ".replaced-")):
            shutil.move(entry, aside / entry.name)
    return aside
