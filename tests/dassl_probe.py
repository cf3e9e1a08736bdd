"""Record the behaviour of the Dassl in a folder as JSON: ``python dassl_probe.py FOLDER RESULT.json``.

No section knows which Dassl it runs on, so equal results mean equal behaviour.
"""

import contextlib
import io
import itertools
import json
import os
import random
import re
import sys
import tempfile
from pathlib import Path

import dassl_to_probe  # noqa: F401  before dassl
import numpy as np
import torch
from PIL import Image
from torch import nn

# isort: split
from dassl.config import get_cfg_default
from dassl.data import DataManager
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.data.samplers import build_sampler
from dassl.data.transforms import build_transform
from dassl.engine import TRAINER_REGISTRY, TrainerX, build_trainer
from dassl.evaluation import build_evaluator
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import AverageMeter, MetricMeter, get_most_similar_str_to_a_from_b, set_random_seed, setup_logger

TRANSFORMS = [
    (),
    ("normalize", "random_flip", "random_resized_crop"),
    ("random_crop", "random_flip", "normalize"),
    ("randomgrayscale", "gaussian_blur", "colorjitter", "center_crop"),
]


def config(**changes: object):
    """The default configuration with keys such as INPUT__SIZE changed."""
    cfg = get_cfg_default()
    cfg.merge_from_list([part for key, value in changes.items() for part in (key.replace("__", "."), value)])
    return cfg


@contextlib.contextmanager
def printed():
    """The lines printed in the block."""
    lines = []
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        yield lines
    lines += stream.getvalue().splitlines()


def numbers(tensor: torch.Tensor) -> list[float]:
    """Two sums that distinguish tensors, and the shape."""
    flat = tensor.double().flatten()
    weights = torch.linspace(0.5, 1.5, len(flat), dtype=torch.float64)
    return [round(v, 6) for v in (flat.sum().item(), (flat * weights).sum().item())] + list(tensor.shape)


@DATASET_REGISTRY.register()
class ProbeImages(DatasetBase):
    """Real JPEGs of noise, 3 classes in 2 domains."""

    def __init__(self, cfg):
        generator = np.random.default_rng(0)
        items = []
        for i in range(38):
            path = os.path.join(cfg.DATASET.ROOT, f"{i}.jpg")
            pixels = generator.integers(0, 60, (30 + i % 3, 40, 3)) + 60 * (i % 3)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            items.append(Datum(path, label=i % 3, domain=i % 2, classname=f"class {i % 3}"))
        train = self.generate_fewshot_dataset(items[:30], num_shots=cfg.DATASET.NUM_SHOTS)
        super().__init__(train_x=train, val=items[30:34], test=items[30:])


@TRAINER_REGISTRY.register()
class ProbeTrainer(TrainerX):
    """A linear classifier."""

    def build_model(self):
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
        self.optim = build_optimizer(self.model, self.cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, self.cfg.OPTIM)
        self.register_model("classifier", self.model, self.optim, self.sched)

    def forward_backward(self, batch):
        image, label, _ = self.parse_batch_train(batch)
        loss = nn.functional.cross_entropy(self.model(image), label)
        self.model_backward_and_update(loss)
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {"loss": loss.item()}


def config_defaults() -> dict:
    def plain(node):
        return {key: plain(value) if isinstance(value, dict) else repr(value) for key, value in node.items()}

    return plain(get_cfg_default())


def transforms() -> list:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (50, 40, 3)).astype(np.uint8))
    results = []
    for choices in TRANSFORMS:
        for is_train in (True, False):
            for interpolation in ("bilinear", "bicubic"):
                cfg = config(INPUT__SIZE=(24, 24), INPUT__TRANSFORMS=choices, INPUT__INTERPOLATION=interpolation)
                with printed() as lines:
                    transform = build_transform(cfg, is_train=is_train)
                parts = [
                    repr(part) if "object at" not in repr(part) else (type(part).__name__, repr(vars(part)))
                    for part in transform.transforms
                ]
                set_random_seed(3)
                results.append([lines, parts, [numbers(transform(image)) for _ in range(4)]])
    return results


def learning_rates() -> dict:
    rates = {}
    for case in itertools.product(
        ("single_step", "multi_step", "cosine"),
        ((-1,), (3,), (2, 5)),
        (-1, 1, 3),
        ("constant", "linear"),
        (True, False),
    ):
        keys = ("LR_SCHEDULER", "STEPSIZE", "WARMUP_EPOCH", "WARMUP_TYPE", "WARMUP_RECOUNT")
        node = config(**{f"OPTIM__{key}": value for key, value in zip(keys, case, strict=True)}).OPTIM
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=node.LR)
        sched = build_lr_scheduler(optimizer, node)
        series = []
        for _ in range(node.MAX_EPOCH):
            series.append(float(f"{optimizer.param_groups[0]['lr']:.9e}"))
            optimizer.step()
            sched.step()
        rates[" ".join(map(str, case))] = series
    return rates


def optimizers() -> dict:
    after = {}
    for name in ("adam", "amsgrad", "sgd", "rmsprop", "adamw"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        optimizer = build_optimizer(model, config(OPTIM__NAME=name, OPTIM__LR=0.05).OPTIM)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(5, 3)).square().sum().backward()
            optimizer.step()
        after[name] = [numbers(parameter) for parameter in model.parameters()]
    return after


def samplers() -> dict:
    orders = {}
    for name in ("SequentialSampler", "RandomSampler"):
        set_random_seed(5)
        sampler = build_sampler(name, data_source=range(32), batch_size=6, n_domain=2, n_ins=3)
        orders[name] = [len(sampler), [int(index) for index in sampler]]
    return orders


def loaders() -> list:
    results = []
    for batch_size in (7, 30, 31):
        for extra in ({}, {"DATALOADER__K_TRANSFORMS": 2, "DATALOADER__RETURN_IMG0": True}):
            with tempfile.TemporaryDirectory() as root, printed() as lines:
                cfg = probe_config(root, DATALOADER__TRAIN_X__BATCH_SIZE=batch_size, **extra)
                set_random_seed(1)
                manager = DataManager(cfg)
                batch = next(iter(manager.train_loader_x))
                test_batch = next(iter(manager.test_loader))
            results.append(
                {
                    "printed": lines,
                    "lengths": [len(manager.train_loader_x), len(manager.val_loader), len(manager.test_loader)],
                    "drop_last": [manager.train_loader_x.drop_last, manager.test_loader.drop_last],
                    "classes": [manager.num_classes, manager.num_source_domains, manager.lab2cname],
                    "batch": {key: _plain(value) for key, value in batch.items() if key != "impath"},
                    "test batch": {key: _plain(value) for key, value in test_batch.items() if key != "impath"},
                }
            )
    return results


def _plain(value: torch.Tensor | list) -> list:
    return numbers(value) if isinstance(value, torch.Tensor) else [numbers(part) for part in value]


def evaluation() -> dict:
    cfg = config(TEST__PER_CLASS_RESULT=True)
    logits = torch.randn(1500, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 3, (1500,), generator=torch.Generator().manual_seed(1))
    with printed() as lines:
        evaluator = build_evaluator(cfg, lab2cname={0: "a", 1: "b", 2: "c"})
        for start in (0, 1000):
            evaluator.process(logits[start : start + 1000], labels[start : start + 1000])
        results = evaluator.evaluate()
        counts = [evaluator._correct, evaluator._total]
        evaluator.reset()
        evaluator.process(logits[:10], labels[:10])
        again = evaluator.evaluate()
    top = [numbers(value) for value in compute_accuracy(logits, labels, topk=(1,))]  # stock Dassl fails above 1
    rounded = {name: round(float(value), 6) for name, value in results.items()}
    return {"printed": lines, "results": rounded, "counts": counts, "again": float(again["accuracy"]), "top": top}


def small_helpers() -> list:
    metric, average = MetricMeter(), AverageMeter(ema=True)
    for value in (1.0, torch.tensor(2.0)):
        metric.update({"loss": value, "acc": 3})
        average.update(value, n=2)
    return [
        str(metric),
        [average.val, average.avg, average.sum, average.count],
        get_most_similar_str_to_a_from_b("coopkdpl", ["CoOp", "CoOp_KDPL", "VPT"]),
    ]


def probe_config(root: str, **changes: object):
    defaults = {
        "DATASET__ROOT": root,
        "DATASET__NAME": "ProbeImages",
        "DATALOADER__NUM_WORKERS": 0,
        "DATALOADER__TRAIN_X__BATCH_SIZE": 4,
        "INPUT__SIZE": (16, 16),
        "INPUT__TRANSFORMS": ("random_resized_crop", "random_flip", "normalize"),
        "TRAINER__NAME": "ProbeTrainer",
        "OUTPUT_DIR": os.path.join(root, "output"),
    }
    return config(**{**defaults, **changes})


def training() -> dict:
    """A whole run: what is printed (without times), written and learned."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    results = {}
    for final_model in ("last_step", "best_val"):
        with tempfile.TemporaryDirectory() as root, printed() as lines:
            optim = {"NAME": "sgd", "LR": 0.1, "LR_SCHEDULER": "cosine", "WARMUP_EPOCH": 1, "MAX_EPOCH": 4}
            optim = {f"OPTIM__{key}": value for key, value in (optim | {"WARMUP_TYPE": "constant"}).items()}
            others = {"DATASET__NUM_SHOTS": 7, "TRAIN__CHECKPOINT_FREQ": 2, "TRAIN__PRINT_FREQ": 2}
            cfg = probe_config(root, TEST__FINAL_MODEL=final_model, **optim, **others)
            set_random_seed(2)
            trainer = build_trainer(cfg)
            trainer.train()
            events = EventAccumulator(os.path.join(cfg.OUTPUT_DIR, "tensorboard"))
            events.Reload()
            scalars = {
                tag: [[event.step, round(event.value, 5)] for event in events.Scalars(tag)]
                for tag in events.Tags()["scalars"]
            }
            output = Path(cfg.OUTPUT_DIR)
            files = sorted(str(file.relative_to(output)) for file in output.rglob("*") if file.is_file())
            latest = (output / "classifier" / "checkpoint").read_text()
        times = re.compile(r"(time|data) [0-9.]+ \([0-9.]+\)|eta [0-9:]+|Elapsed: [0-9:]+")
        results[final_model] = {
            "printed": [times.sub("<time>", line.replace(root, "<root>")) for line in lines],
            "scalars": scalars,
            "files": [file for file in files if "tfevents" not in file],
            "latest": latest,
            "weights": [numbers(parameter) for parameter in trainer.model.parameters()],
            "epochs": [trainer.start_epoch, trainer.epoch, trainer.max_epoch, trainer.batch_idx, trainer.num_batches],
            "lr": round(trainer.get_current_lr(), 9),
        }
    return results


def logger() -> list:
    stdout, loggers = sys.stdout, []
    with tempfile.TemporaryDirectory() as folder:
        for word in ("first", "second"):
            with contextlib.redirect_stdout(io.StringIO()) as console:
                setup_logger(folder)
                print(word)
                sys.stdout.flush()
                loggers.append(sys.stdout)  # stock Dassl closes the console with its last reference
                sys.stdout = stdout
        files = sorted(Path(folder).iterdir())
        names = [re.sub("[0-9]", "0", file.name) for file in files]
        return [names, [file.read_text() for file in files], console.getvalue()]


if __name__ == "__main__":
    random.seed(0)
    sections = [config_defaults, transforms, learning_rates, optimizers, samplers, loaders]
    sections += [evaluation, small_helpers, logger, training]
    report = {section.__name__: section() for section in sections}
    with open(sys.argv[2], "w") as file:
        json.dump(report, file)
