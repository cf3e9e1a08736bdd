"""Training, testing, saving and resuming with a small model on real images."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import compat  # noqa: F401

# isort: split
from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY, SimpleTrainer, TrainerX, build_trainer
from dassl.optim import build_lr_scheduler, build_optimizer


class Linear(TrainerX):
    """Learns to tell grey levels apart."""

    def build_model(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
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


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    class Greys(DatasetBase):
        def __init__(self, cfg):
            items = []
            for i in range(10):
                path = tmp_path / f"{i}.jpg"
                Image.new("RGB", (8, 8), (25 * i,) * 3).save(path)
                items.append(Datum(str(path), label=int(i >= 5), classname="dark light".split()[int(i >= 5)]))
            super().__init__(train_x=items[::2] + items[1::2], val=items[4:7], test=items)

    monkeypatch.setattr(DATASET_REGISTRY, "_entries", {"Greys": Greys})
    monkeypatch.setattr(TRAINER_REGISTRY, "_entries", {"Linear": Linear})
    cfg = get_cfg_default()
    cfg.merge_from_list(
        ["DATASET.NAME", "Greys", "TRAINER.NAME", "Linear", "OUTPUT_DIR", str(tmp_path / "out"), "INPUT.SIZE", (8, 8)]
        + ["DATALOADER.NUM_WORKERS", 0, "DATALOADER.TRAIN_X.BATCH_SIZE", 4, "DATALOADER.TRAIN_X.SAMPLER"]
        + ["SequentialSampler", "OPTIM.NAME", "sgd", "OPTIM.LR", 0.1, "OPTIM.LR_SCHEDULER", "cosine"]
        + ["OPTIM.WARMUP_EPOCH", 1, "OPTIM.MAX_EPOCH", 4, "USE_CUDA", False]
    )
    return cfg


def weights(trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def test_a_run_logs_and_leaves_what_dassl_does(cfg, capsys):
    trainer = build_trainer(cfg)
    trainer.train()
    printed = capsys.readouterr().out
    assert re.search(
        r"^epoch \[1/4\] batch \[2/2\] time \d+\.\d{3} \(\d+\.\d{3}\) data \d+\.\d{3} \(\d+\.\d{3}\) "
        r"loss \d+\.\d{4} \(\d+\.\d{4}\) lr 1\.0000e-01 eta \d+:\d\d:\d\d$",
        printed,
        flags=re.MULTILINE,
    )
    assert "Evaluate on the *test* set\n=> result\n* total: 10\n" in printed
    out = Path(cfg.OUTPUT_DIR)
    assert sorted(path.name for path in (out / "classifier").iterdir()) == ["checkpoint", "model.pth.tar-4"]
    assert (out / "classifier" / "checkpoint").read_text() == "model.pth.tar-4\n"
    assert list((out / "tensorboard").glob("events.out.tfevents.*"))


def test_an_interrupted_run_ends_as_an_uninterrupted_one(cfg, tmp_path, monkeypatch):
    whole = build_trainer(cfg)
    whole.train()

    cfg.OUTPUT_DIR = str(tmp_path / "interrupted")
    cfg.TRAIN.CHECKPOINT_FREQ = 1
    first = build_trainer(cfg)
    monkeypatch.setattr(first, "after_epoch", lambda: first.epoch == 2 and 1 / 0 or Linear.after_epoch(first))
    with pytest.raises(ZeroDivisionError):
        first.train()
    second = build_trainer(cfg)
    second.train()
    assert second.start_epoch == 2
    assert torch.equal(weights(second), weights(whole))


def test_checkpoints_load_without_running_code(cfg):
    build_trainer(cfg).train()
    path = Path(cfg.OUTPUT_DIR) / "classifier" / "model.pth.tar-4"
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["epoch"] == 4
    assert checkpoint["scheduler"] == {"last_epoch": 4, "base_lrs": [0.1]}


def test_an_evaluation_loads_the_epoch_asked_for_and_no_tensorboard(cfg):
    trained = build_trainer(cfg)
    trained.train()
    fresh = build_trainer(cfg)
    fresh.load_model(cfg.OUTPUT_DIR, epoch=4)
    assert torch.equal(weights(fresh), weights(trained))
    fresh.test()
    assert fresh._writer is None


def test_the_best_model_on_the_validation_set_is_deployed(cfg, monkeypatch):
    cfg.TEST.FINAL_MODEL = "best_val"
    trainer = build_trainer(cfg)
    results = iter([50.0, 90.0, 90.0, 70.0])
    kept = {}

    def scripted_test(split=None):
        kept[trainer.epoch] = weights(trainer)
        return next(results) if split == "val" else 0.0

    monkeypatch.setattr(trainer, "test", scripted_test)
    epochs = []
    save = trainer.save_model
    monkeypatch.setattr(trainer, "save_model", lambda *args, **kwargs: (epochs.append(args[0]), save(*args, **kwargs)))
    trainer.train()
    best = torch.load(Path(cfg.OUTPUT_DIR) / "classifier" / "model-best.pth.tar", weights_only=True)
    assert (best["epoch"], best["val_result"]) == (2, 90.0)
    assert epochs == [0, 1, 3]  # better, better, last


def test_a_resume_folder_without_checkpoint_is_refused(cfg, tmp_path):
    cfg.RESUME = str(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="elsewhere.*output folder of an earlier run"):
        build_trainer(cfg).train()


def test_a_missing_epoch_is_refused_with_what_is_there(cfg):
    trainer = build_trainer(cfg)
    trainer.train()
    with pytest.raises(FileNotFoundError, match=r"model.pth.tar-9.*'model.pth.tar-4'"):
        trainer.load_model(cfg.OUTPUT_DIR, epoch=9)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        trainer.load_model(cfg.OUTPUT_DIR + "-gone", epoch=4)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_broken_checkpoint_is_refused_by_name(cfg, content):
    trainer = build_trainer(cfg)
    trainer.train()
    path = Path(cfg.OUTPUT_DIR) / "classifier" / "model.pth.tar-4"
    path.write_bytes(path.read_bytes()[:-500] if content is None else content)
    with pytest.raises(ValueError, match="model.pth.tar-4.*truncated"):
        build_trainer(cfg).train()


def test_a_checkpoint_of_another_model_is_refused(cfg):
    build_trainer(cfg).train()
    cfg.INPUT.SIZE = (4, 4)
    trainer = build_trainer(cfg)
    trainer._models["classifier"] = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    with pytest.raises(ValueError, match="(?s)checkpoint of a different model.*size mismatch"):
        trainer.train()


def test_unknown_trainers_and_models_are_refused_with_what_exists(cfg):
    trainer = build_trainer(cfg)
    with pytest.raises(ValueError, match=r"\['clasifier'\].*\['classifier'\]"):
        trainer.set_model_mode("eval", names="clasifier")
    with pytest.raises(ValueError, match="'classifier' is registered already"):
        trainer.register_model("classifier", trainer.model)
    cfg.TRAINER.NAME = "Linaer"
    with pytest.raises(ValueError, match="'Linaer' does not exist.*mean 'Linear'"):
        build_trainer(cfg)


def test_a_loss_gone_bad_stops_before_the_weights_change(cfg):
    trainer = build_trainer(cfg)
    before = weights(trainer)
    loss = trainer.model(torch.full((1, 3, 8, 8), float("nan"))).sum()
    with pytest.raises(FloatingPointError):
        trainer.model_backward_and_update(loss)
    assert torch.equal(weights(trainer), before)


def test_a_trainer_without_model_says_what_to_do(cfg):
    with pytest.raises(NotImplementedError, match="override build_model"):
        SimpleTrainer(cfg)


def test_importing_the_engine_does_not_import_tensorboard():
    code = "import compat, sys; import dassl.engine; print('tensorboard' in sys.modules)"
    root = Path(__file__).parent.parent
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=120)
    assert run.stdout == "False\n", run.stderr
