"""From a spec to runs: what each one trains and evaluates, in which folders, and what of it is done already."""

import contextlib
import functools
import io
import itertools
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dassl.data.datasets import DATASET_REGISTRY

import train
from kdpl.clip.templates import GENERIC
from kdpl.distillation import resume
from kdpl.names import check_known
from kdpl.run_record import FILE_NAME, finished_record
from tools.experiment import Experiment, choose, slug
from tools.run_folders import (
    TEST_BASE,
    TEST_NEW,
    TRAIN_ALL,
    TRAIN_BASE,
    ZEROSHOT_ALL,
    ZEROSHOT_SEED,
    ZEROSHOT_SHOTS,
    run_folder,
    test_from,
)
from trainers.kdpl.config import default_settings, of_evaluation, settings_of
from trainers.kdpl.configuration import build_cfg
from trainers.kdpl.finished import is_finished

from .claims import FILE_NAME as CLAIM
from .runs import LOG, Part, Run
from .spec import FROM_A_SOURCE, TRAINED, Block, Spec

FINISHED, UNFINISHED, STALE, MISSING = "finished", "unfinished", "stale", "missing"


def plan(spec: Spec, root: Path, output: Path) -> list[Run]:
    """All runs of a spec, each once: evaluations of the same prompts are parts of one run.

    Args:
        root: folder with the data sets.
        output: folder for the results.

    Raises:
        ValueError, FileNotFoundError: if a data set, configuration or CLIP does not exist, settings do not fit, or two
            blocks ask for different things in the same folder.
    """
    parts: dict[str, dict[str, Part]] = {}
    for block in spec.blocks:
        _check_datasets_and_options(block)
        for run in _RunsOfBlock(block, root, output):
            parts_of_run = parts.setdefault(run.name, {})
            for part in run.parts:
                known = parts_of_run.setdefault(part.folder, part)
                if known.arguments != part.arguments and _settings(known) != _settings(part):
                    raise ValueError(
                        f"Two blocks want different runs in {part.folder}:\n  {' '.join(known.arguments)}\n"
                        f"  {' '.join(part.arguments)}\nGive them the same settings, or put them into two files with "
                        "an output folder each."
                    )
    return [Run(name, tuple(parts_of_run.values())) for name, parts_of_run in parts.items()]


def _check_datasets_and_options(block: Block) -> None:
    """What nobody else looks at before the trainings are done, or fails each of them."""
    for dataset in dict.fromkeys((block.source, *block.datasets) if block.source else block.datasets):
        cfg = build_cfg([f"configs/datasets/{dataset}.yaml"], {}, _pairs(block.options))
        check_known(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset", "DATASET.NAME")


def _pairs(options: Mapping[str, Any]) -> list[str]:
    """As at the end of train.py's command line."""
    return [str(x) for pair in options.items() for x in pair]


class _RunsOfBlock:
    """Goes through the combinations of a block; runs that are the same come more than once."""

    def __init__(self, block: Block, root: Path, output: Path):
        self.block, self.root, self.output = block, root, output

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

    def chosen(self, dataset: str, method: str, setting: str, student: str) -> tuple[Experiment, str]:
        """What is to be trained, and the trainer's name."""
        trainer = method if setting == "labels" else f"{method}_KDPL"
        epochs = self.block.epochs.get(method)
        with contextlib.redirect_stdout(io.StringIO()):  # of precisions, which train.py tells as well
            chosen = choose(
                dataset,
                trainer,
                cfg=self.block.cfgs.get(method),
                student=student,
                teacher=self.block.teacher or None,
                class_agnostic=setting == "kdpl_ca",
                epochs=str(epochs) if epochs else None,
                transfers=self.block.protocol in FROM_A_SOURCE,
            )
        return chosen, trainer

    def trained(self, dataset: str, shots: int, trainer: str, chosen: Experiment, seed: int) -> Run:
        """A training and its evaluations."""

        def part(name: str, on: str, classes: str, *flags: str, pairs: tuple = ()) -> Part:
            folder = run_folder(name, on, shots, trainer, chosen.folder, seed)
            flags = ("--trainer", trainer, "--backbone", chosen.student, *flags)
            return self.part(folder, on, f"{trainer}/{chosen.cfg}", shots, seed, classes, flags, chosen.pairs + pairs)

        in_halves = self.block.protocol == "base2new"
        no_test = ("TEST.NO_TEST", "True")  # the evaluations are parts of their own
        training = part(*((TRAIN_BASE, dataset, "base") if in_halves else (TRAIN_ALL, dataset, "all")), pairs=no_test)
        evaluate = ("--eval-only", "--model-dir", training.folder)
        if in_halves:
            tests = [part(TEST_BASE, dataset, "base", *evaluate), part(TEST_NEW, dataset, "new", *evaluate)]
        else:
            others = self.block.datasets if self.block.protocol in FROM_A_SOURCE else ()
            tests = [part(test_from(dataset), on, "all", *evaluate) for on in dict.fromkeys((dataset, *others))]
        return self.run(training, *tests)

    def zeroshot(self, dataset: str, setting: str, student: str, method: str) -> Iterator[Run]:
        """Evaluations of hand-written prompts."""
        chosen, trainer = self.chosen(dataset, method, "kdpl", student)
        clip = chosen.teacher if setting == "zeroshot_teacher" else chosen.student
        pairs = ("DATASET.TEMPLATE", GENERIC) if setting == "zeroshot_student_generic" else ()
        variant = slug(clip) + ("__template_generic" if pairs else "")
        flags = ("--eval-only", "--trainer", "ZeroshotCLIP", "--backbone", clip)

        def part(name: str, on: str, classes: str) -> Part:
            folder = run_folder(name, on, ZEROSHOT_SHOTS, "ZeroshotCLIP", variant, ZEROSHOT_SEED)
            cfg = f"{trainer}/{chosen.cfg}"
            return self.part(folder, on, cfg, ZEROSHOT_SHOTS, ZEROSHOT_SEED, classes, flags, pairs)

        if self.block.protocol == "base2new":
            yield self.run(part(TEST_BASE, dataset, "base"), part(TEST_NEW, dataset, "new"))
        else:
            others = self.block.datasets if self.block.protocol in FROM_A_SOURCE else ()
            for on in dict.fromkeys((dataset, *others)):
                yield self.run(part(ZEROSHOT_ALL, on, "all"))

    def part(
        self, folder: str, dataset: str, cfg: str, shots: int, seed: int, classes: str, flags: tuple, pairs: tuple
    ) -> Part:
        """The command line of train.py."""
        folder = str(self.output / folder)
        return Part(folder, (
            "--root", str(self.root), "--seed", str(seed), "--output-dir", folder,
            "--dataset-config-file", f"configs/datasets/{dataset}.yaml",
            "--config-file", f"configs/trainers/{cfg}.yaml", *flags,
            "DATASET.NUM_SHOTS", str(shots), "DATASET.SUBSAMPLE_CLASSES", classes, *pairs, *_pairs(self.block.options),
        ))  # fmt: skip

    def run(self, *parts: Part) -> Run:
        return Run(str(Path(parts[0].folder).relative_to(self.output)), parts)


def _settings(part: Part) -> dict[str, object]:
    """Those that the results of a part depend on."""
    settings = settings_of(cfg_of(part.arguments)[0])
    return settings if part.trains else of_evaluation(settings)


def state_of_run(run: Run) -> tuple[str, str]:
    """FINISHED, UNFINISHED, STALE or MISSING, and why it is stale."""
    states = [state_of_part(part) for part in run.parts]
    for state, why in states:
        if state == STALE:
            return STALE, why
    kinds = {state for state, _ in states}
    return (kinds.pop() if len(kinds) == 1 else UNFINISHED), ""


def state_of_part(part: Part) -> tuple[str, str]:
    """As :func:`state_of_run`. Stale is what is there of another configuration, other weights or other prompts."""
    record, unfinished = (Path(part.folder) / name for name in (FILE_NAME, resume.FILE_NAME))
    if not record.exists() and not unfinished.exists():
        return MISSING, ""
    cfg, args = cfg_of(part.arguments)
    try:
        if is_finished(cfg, args.eval_only, args.model_dir):
            return FINISHED, ""
        if finished_record(record) is not None:
            return STALE, f"{part.folder} is of other settings, weights or prompts"
        if part.trains and unfinished.is_file():
            resume.read_resume_state(unfinished, settings_of(cfg), default_settings(), settings_of)
            return UNFINISHED, ""
    except ValueError as error:
        return STALE, str(error)
    return MISSING, ""


@functools.lru_cache(maxsize=4096)
def cfg_of(arguments: tuple[str, ...]) -> tuple:
    """The configuration that a command line of train.py makes, and its flags."""
    args = train.parse(arguments)
    flags = {key: getattr(args, flag) for flag, key in train.FLAGS.items() if getattr(args, flag) is not None}
    return build_cfg([args.dataset_config_file, args.config_file], flags, args.opts), args


def set_aside(folder: Path) -> None:
    """Make room for a run where a stale one is; what was there is kept in a hidden folder, which nothing reads."""
    aside = folder / f".replaced-{time.strftime('%Y-%m-%d-%H-%M-%S')}"
    aside.mkdir(parents=True, exist_ok=True)
    for entry in [folder / FILE_NAME, *folder.iterdir()]:  # the record first: without it nothing counts as finished
        if entry.exists() and entry.name not in (CLAIM, LOG) and not entry.name.startswith(".replaced-"):
            shutil.move(entry, aside / entry.name)
