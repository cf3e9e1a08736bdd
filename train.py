"""Train or evaluate one trainer on one dataset, with CoOp's command line.

    python train.py --root data --trainer CoOp_KDPL --seed 1 \\
        --dataset-config-file configs/datasets/caltech101.yaml \\
        --config-file configs/trainers/CoOp_KDPL/vit_b32_ctxv1.yaml \\
        --output-dir output/caltech101 DATASET.NUM_SHOTS 16

Later settings win: defaults, dataset file, method file, flags, KEY VALUE pairs.
"""

import argparse
import contextlib
import io
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yacs.config import CfgNode

    from kdpl.evaluation import Outputs
    from kdpl.methods import Method
    from kdpl.planning import Workload
    from trainers.kdpl.recorded_trainer import RecordedTrainer

FLAGS = {  # flag: the key that it sets
    "root": "DATASET.ROOT",
    "seed": "SEED",
    "trainer": "TRAINER.NAME",
    "output_dir": "OUTPUT_DIR",
    "resume": "RESUME",
    "backbone": "MODEL.BACKBONE.NAME",
    "head": "MODEL.HEAD.NAME",
    "transforms": "INPUT.TRANSFORMS",
    "source_domains": "DATASET.SOURCE_DOMAINS",
    "target_domains": "DATASET.TARGET_DOMAINS",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit codes and messages are those of :mod:`kdpl.guard`."""
    args = parse(arguments)
    from kdpl.guard import guarded  # imported late, so that --help does not wait for torch

    trains = not (args.eval_only or args.no_train)
    return guarded(lambda: run(args), "Run the same command again to resume after the last finished epoch." * trains)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse CoOp's flags, and our own: ``--plan``, ``--deterministic`` and ``--skip-finished``."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="KDPL_TRACEBACK=1 shows where an error comes from.",
    )
    add = parser.add_argument
    add("--root", help="folder that contains the datasets")
    add("--output-dir", help="folder for log, checkpoints and results.json (default: output)")
    add("--resume", help="folder of an interrupted run to resume from (default: the output folder)")
    add("--seed", type=int, help="random seed; negative: not seeded (default: -1)")
    add("--source-domains", nargs="+", help="source domains, for datasets with domains")
    add("--target-domains", nargs="+", help="target domains, for datasets with domains")
    add("--transforms", nargs="+", help="augmentations of the training images")
    add("--config-file", help="the method's YAML, such as configs/trainers/CoOp_KDPL/vit_b32_ctxv1.yaml")
    add("--dataset-config-file", help="the dataset's YAML, such as configs/datasets/caltech101.yaml")
    add("--trainer", help="trainer, such as CoOp_KDPL")
    add("--backbone", help="the student: a CLIP such as ViT-B/32, or a weights file")
    add("--head", help="MODEL.HEAD.NAME, for trainers that have one")
    add("--eval-only", action="store_true", help="evaluate the prompts in --model-dir, or untrained prompts")
    add("--model-dir", default="", help="output folder of the training run to evaluate")
    add("--load-epoch", type=int, help="evaluate the checkpoint of this epoch (default: the best, or else the last)")
    add("--from-all-classes", action="store_true", help="take logits from those for all classes, computed only once")
    add("--no-train", action="store_true", help="build everything and stop")
    add("--plan", action="store_true", help="predict time, memory and disk space from a short calibration, and stop")
    add("--deterministic", action="store_true", help="bit-identical results on GPUs as well; slower")
    add("--skip-finished", action="store_true", help="do nothing if the output folder already has this run's results")
    add(
        "opts",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="settings after all flags, such as OPTIM.MAX_EPOCH 10",
    )
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """Run the command; settings are checked before anything is written, loaded or downloaded."""
    from kdpl.guard import nothing_to_save

    with nothing_to_save():
        import compat  # noqa: F401  before anything that imports torchvision or dassl
        import datasets  # noqa: F401  registers them
        import trainers  # noqa: F401  registers them

        from dassl.data.datasets import DATASET_REGISTRY  # isort: skip
        from dassl.engine import TRAINER_REGISTRY  # isort: skip
        from kdpl.distillation.vocabulary import load_vocabulary
        from kdpl.locks import sole_writer
        from kdpl.names import check_known
        from trainers.kdpl.finished import is_finished

    if args.from_all_classes and not args.eval_only:
        raise ValueError("--from-all-classes is for evaluations. Add --eval-only, or leave it out.")
    cfg = configuration(args)
    check_known(cfg.TRAINER.NAME, TRAINER_REGISTRY.registered_names(), "trainer", "--trainer")
    where = "DATASET.NAME (in configs/datasets/<name>.yaml)"
    check_known(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset", where)
    trainer_class = TRAINER_REGISTRY.get(cfg.TRAINER.NAME)
    trainer_class.check_cfg(object.__new__(trainer_class), cfg)  # the trainer repeats it, but only after opening a log
    if args.skip_finished and is_finished(cfg, args.eval_only, args.model_dir):
        print(f"{cfg.OUTPUT_DIR} already contains the results of this run")
        return
    if args.plan:
        print(forecast(cfg, trains=not args.eval_only))
        return
    kdpl = cfg.TRAINER.KDPL
    if kdpl.CLASS_AGNOSTIC and cfg.TRAINER.NAME.endswith("_KDPL") and not (args.eval_only or args.no_train):
        load_vocabulary(kdpl.VOCABULARY)  # before anything else is loaded, because it may have to be downloaded
    output = Path(cfg.OUTPUT_DIR)
    with sole_writer(output, output / ".writer"):
        work(args, cfg, trainer_class)


def configuration(args: argparse.Namespace, *pairs: str) -> "CfgNode":
    """The configuration of a command line, with further KEY VALUE pairs."""
    from trainers.kdpl.configuration import build_cfg

    files = [file for file in (args.dataset_config_file, args.config_file) if file]
    flags = {key: getattr(args, flag) for flag, key in FLAGS.items() if getattr(args, flag) is not None}
    return build_cfg(files, flags, [*args.opts, *pairs])


def work(args: argparse.Namespace, cfg: "CfgNode", trainer_class: type) -> None:
    """Train or evaluate, and write to the output folder."""
    import torch
    from dassl.engine import build_trainer
    from dassl.utils import collect_env_info, set_random_seed, setup_logger

    from kdpl.console import log_only
    from kdpl.determinism import make_deterministic

    if cfg.SEED >= 0:
        print(f"Setting fixed seed: {cfg.SEED}")
        set_random_seed(cfg.SEED)
    setup_logger(cfg.OUTPUT_DIR)
    if args.deterministic:
        make_deterministic()
    elif torch.cuda.is_available() and cfg.USE_CUDA:
        torch.backends.cudnn.benchmark = True
    log_only(all_settings(args, cfg))
    log_only(f"Collecting env info ...\n** System info **\n{collect_env_info()}\n")
    print(main_settings(args, cfg, getattr(trainer_class, "method", None)))

    trainer = build_trainer(cfg)
    if args.eval_only:
        trainer.load_model(args.model_dir, epoch=args.load_epoch)
        if args.from_all_classes:
            trainer.outputs = lambda: outputs_for_all_classes(args, trainer)
        trainer.test()
    elif not args.no_train:
        try:
            trainer.train()
        finally:
            trainer.close_writer()  # otherwise its thread would still write while Python shuts down
    if not args.no_train or args.eval_only:
        print(what_next(trainer, trained=not args.eval_only))


def outputs_for_all_classes(args: argparse.Namespace, trainer: "RecordedTrainer") -> "Outputs":
    """The outputs for all classes of the dataset with the same prompts; those computed last are kept."""
    from dassl.engine import build_trainer

    from kdpl.evaluation import shared_outputs
    from trainers.kdpl.config import of_evaluation, settings_of

    cfg = configuration(args, "DATASET.SUBSAMPLE_CLASSES", "all")

    def predict() -> tuple:
        with contextlib.redirect_stdout(io.StringIO()):  # the same as for some of the classes
            whole = build_trainer(cfg)
        for name, learner in trainer._models.items():  # not read again, as untrained prompts may be random
            whole._models[name].load_state_dict(learner.state_dict())
        whole.set_model_mode("eval")
        print(f"Computing the outputs for all {len(whole.classnames)} classes")
        return whole.predictions(whole.split_and_loader()[1]), whole.classnames

    depends_on = of_evaluation(settings_of(cfg)), trainer.record.weights_sha256, trainer.prompts_sha256
    return shared_outputs([cfg.DATASET.ROOT, *depends_on], predict)


def forecast(cfg: "CfgNode", trains: bool) -> str:
    """Predicted costs of a configuration on this machine, as a table."""
    from kdpl.clip.device import resolve_device
    from kdpl.planning import Planner, in_words

    planner = Planner(resolve_device("auto" if cfg.USE_CUDA else "cpu"))
    return in_words([(cfg.TRAINER.NAME, planner.forecast(workload(cfg, trains)))])


def workload(cfg: "CfgNode", trains: bool) -> "Workload":
    """Everything the costs of a configuration depend on; the dataset is read only if its size is not known."""
    from dassl.data.datasets import DATASET_REGISTRY, build_dataset
    from dassl.engine import TRAINER_REGISTRY

    from kdpl.distillation.vocabulary import load_vocabulary
    from kdpl.images.seeded_loader import n_views
    from kdpl.planning import Workload
    from trainers.kdpl.config import method_settings

    kdpl, name, shots = cfg.TRAINER.KDPL, cfg.DATASET.NAME, cfg.DATASET.NUM_SHOTS
    known = DATASET_REGISTRY.get(name)
    n_classes, (n_train, _, n_test) = getattr(known, "n_classes", 0), getattr(known, "n_images", (0, 0, 0))
    share = 1.0 if cfg.DATASET.SUBSAMPLE_CLASSES == "all" else 0.5
    n_train = min(n_train, shots * n_classes) if shots > 0 else n_train
    if not n_classes or not (n_train or n_test):
        dataset = build_dataset(cfg)
        n_classes, n_train, n_test, share = dataset.num_classes, len(dataset.train_x), len(dataset.test), 1.0
    n_classes, n_train, n_test = (round(share * n) for n in (n_classes, n_train, n_test))
    method = getattr(TRAINER_REGISTRY.get(cfg.TRAINER.NAME), "method", None)
    distils, epochs = cfg.TRAINER.NAME.endswith("_KDPL"), cfg.OPTIM.MAX_EPOCH * trains
    if distils and kdpl.CLASS_AGNOSTIC and trains:
        n_classes = min(kdpl.K_MAX, len(load_vocabulary(kdpl.VOCABULARY)))
    return Workload(
        method=method.name if method else "",
        settings=tuple(method_settings(cfg, method).items()) if method else (),
        student=cfg.MODEL.BACKBONE.NAME,
        teacher=kdpl.TEACHER if distils else "",
        n_classes=n_classes,
        batch_size=cfg.DATALOADER.TRAIN_X.BATCH_SIZE,
        n_images=n_train,
        n_test=0 if trains and cfg.TEST.NO_TEST else n_test,
        epochs=epochs,
        views=n_views(kdpl.VIEWS, epochs),
        precision=cfg.TRAINER[method.node].PREC if method else "fp32",
        teacher_precision=kdpl.PREC,
        n_workers=cfg.DATALOADER.NUM_WORKERS,
        cache_bytes={"fp32": 4, "fp16": 2}[kdpl.CACHE_PRECISION] if kdpl.CACHE_DIR else 0,
        images=f"{name} {cfg.DATASET.SUBSAMPLE_CLASSES} {shots} {cfg.SEED} {kdpl.VIEWS}",
        tested_on=f"{name} {cfg.DATASET.SUBSAMPLE_CLASSES}",
    )


def all_settings(args: argparse.Namespace, cfg: "CfgNode") -> str:
    """Arguments and configuration, in the form that CoOp prints."""
    arguments = "\n".join(f"{name}: {value}" for name, value in sorted(vars(args).items()))
    return (
        f"***************\n** Arguments **\n***************\n{arguments}\n"
        f"************\n** Config **\n************\n{cfg}"
    )


def main_settings(args: argparse.Namespace, cfg: "CfgNode", method: "Method | None") -> str:
    """The most important settings, one per line; ``method`` is None for a zero-shot classifier."""
    trains = method is not None and not args.eval_only
    lines = {"Trainer": cfg.TRAINER.NAME, "Student": cfg.MODEL.BACKBONE.NAME}
    if method is not None:
        lines["Student"] += f", {cfg.TRAINER[method.node].PREC}"
    if trains and cfg.TRAINER.NAME.endswith("_KDPL"):
        lines["Teacher"] = f"{cfg.TRAINER.KDPL.TEACHER}, {cfg.TRAINER.KDPL.PREC}"
    if trains:
        shots = f"{cfg.DATASET.NUM_SHOTS} images per class" if cfg.DATASET.NUM_SHOTS > 0 else "all images"
        lines["Training"] = f"{cfg.OPTIM.MAX_EPOCH} epochs on {shots}"
        if views := cfg.TRAINER.KDPL.VIEWS:
            lines["Training"] += f", {views} augmentations per image, reused across epochs (published: always new ones)"
    lines["Classes"] = cfg.DATASET.SUBSAMPLE_CLASSES
    if trains and cfg.TRAINER.NAME.endswith("_KDPL") and cfg.TRAINER.KDPL.CLASS_AGNOSTIC:
        lines["Classes"] += "; training does not use their names"
    if args.eval_only and args.model_dir:
        lines["Prompts"] = args.model_dir
    lines["Output"] = f"{cfg.OUTPUT_DIR} (all settings are in its log.txt)"
    return "\n".join(f"{name}: {value}" for name, value in lines.items())


def what_next(trainer: "RecordedTrainer", trained: bool) -> str:
    """Location of the results, and commands for next steps."""
    folder = trainer.output_dir
    quoted = shlex.quote(folder)
    lines = [f"Results: {folder}/results.json"]
    if trainer.record.evaluations:
        lines.append(f"  as a table: python -m tools.tables {quoted}")
    if trained:
        prompts = f"{folder}/prompts.safetensors"
        names = "" if trainer.record.visible.classnames == "dataset" else " --classnames FILE"
        lines.append(f"Prompts: {prompts}")
        lines.append(f"  classify photos: python -m kdpl predict {shlex.quote(prompts)} PHOTO{names}")
    if trained and trainer.cfg.TEST.NO_TEST:
        lines.append(f"  evaluate: add --eval-only --model-dir {quoted} to this command, and change --output-dir")
    return "\n".join(lines)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv[1:]}:
        parse()
    from kdpl.guard import run_command

    run_command(main)
