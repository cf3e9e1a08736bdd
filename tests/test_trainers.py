"""All trainers over a tiny dataset of real JPEGs and tiny CLIPs read from files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY
from PIL import Image
from safetensors.torch import save_file
from yacs.config import CfgNode

from kdpl.clip.towers import OPENAI_MEAN, OPENAI_STD
from kdpl.distillation.objective import TEACHER
from kdpl.methods import METHODS
from tests.tiny_clip import CLASSNAMES, tiny_clip
from trainers.kdpl.config import extend_cfg

LABELS = list(METHODS)
KDPL = [f"{method}_KDPL" for method in METHODS]
VOCABULARY = ["cat", "steam train", "cup", "dog", "tree", "red car", "axolotl", "lamp", "boat"]


@DATASET_REGISTRY.register()
class TinyPhotos(DatasetBase):
    """Four images of random pixels for each of five classes, under the data root."""

    def __init__(self, cfg: CfgNode):
        files = sorted(Path(cfg.DATASET.ROOT).glob("*.jpg"))
        shift = 1 if "wrong" in cfg.DATASET.SOURCE_DOMAINS else 0
        items = [self._item(file, shift) for file in files]
        super().__init__(train_x=items, val=items[::2], test=[self._item(file, 0) for file in files])

    @staticmethod
    def _item(file: Path, shift: int) -> Datum:
        label = (int(file.name[0]) + shift) % len(CLASSNAMES)
        return Datum(impath=str(file), label=label, classname=CLASSNAMES[label])


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with the images, a student, a ResNet, a teacher and a vocabulary."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    for label in range(5):
        for i in range(4):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{label}_{i}.jpg")
    for name, kind, seed in (("student", "vit", 1), ("resnet", "resnet", 2), ("teacher", "vit", 3)):
        state = {key: tensor.contiguous() for key, tensor in tiny_clip(kind, seed).state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")
    (folder / "vocabulary.txt").write_text("\n".join(VOCABULARY))
    return folder


def configuration(files: Path, trainer: str, output: Path, *options) -> CfgNode:
    cfg = get_cfg_default()
    extend_cfg(cfg)
    small = {
        "TRAINER.NAME": trainer, "DATASET.NAME": "TinyPhotos", "DATASET.ROOT": str(files), "OUTPUT_DIR": str(output),
        "SEED": 3, "USE_CUDA": False, "MODEL.BACKBONE.NAME": str(files / "student.safetensors"),
        "TRAINER.KDPL.TEACHER": str(files / "teacher.safetensors"), "INPUT.SIZE": (32, 32),
        "INPUT.PIXEL_MEAN": OPENAI_MEAN, "INPUT.PIXEL_STD": OPENAI_STD,
        "INPUT.TRANSFORMS": ("random_resized_crop", "random_flip", "normalize"),
        "DATALOADER.NUM_WORKERS": 0, "DATALOADER.TRAIN_X.BATCH_SIZE": 6, "DATALOADER.TEST.BATCH_SIZE": 8,
        "OPTIM.NAME": "sgd", "OPTIM.LR": 0.05, "OPTIM.MAX_EPOCH": 3, "OPTIM.LR_SCHEDULER": "cosine",
        "OPTIM.WARMUP_EPOCH": 1, "OPTIM.WARMUP_TYPE": "constant", "OPTIM.WARMUP_CONS_LR": 0.01,
        "TRAIN.PRINT_FREQ": 2, "TRAINER.COOP.CTX_INIT": "a photo of a", "TRAINER.COCOOP.CTX_INIT": "a photo of a",
        "TRAINER.VPT.PROMPT_DEPTH_VISION": 2, "TRAINER.MAPLE.PROMPT_DEPTH": 2, "TRAINER.PROMPTSRC.GPA_MEAN": 2,
        "TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT": 2, "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION": 3,
    }  # fmt: skip
    cfg.merge_from_list([x for pair in small.items() for x in pair])
    cfg.merge_from_list(list(options))
    cfg.freeze()
    return cfg


def trainer_of(cfg: CfgNode):
    torch.manual_seed(cfg.SEED)
    return TRAINER_REGISTRY.get(cfg.TRAINER.NAME)(cfg)


def trained(files: Path, trainer: str, output: Path, *options) -> dict[str, torch.Tensor]:
    """The prompts after a whole run."""
    run = trainer_of(configuration(files, trainer, output, *options))
    run.train()
    return {name: tensor.clone() for name, tensor in run.model.prompt_learner.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


AGNOSTIC = ("TRAINER.KDPL.CLASS_AGNOSTIC", True, "TRAINER.KDPL.K_MAX", 4)


def agnostic(files: Path) -> tuple:
    return (*AGNOSTIC, "TRAINER.KDPL.VOCABULARY", str(files / "vocabulary.txt"))


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("name", KDPL)
def test_kdpl_never_reads_a_label(name, class_agnostic, files, tmp_path):
    options = agnostic(files) if class_agnostic else ()
    right = trained(files, name, tmp_path / "right", *options)
    wrong = trained(files, name, tmp_path / "wrong", *options, "DATASET.SOURCE_DOMAINS", ("wrong",))
    assert equal(right, wrong)


@pytest.mark.parametrize("name", LABELS)
def test_supervised_training_does_read_labels(name, files, tmp_path):
    right = trained(files, name, tmp_path / "right")
    wrong = trained(files, name, tmp_path / "wrong", "DATASET.SOURCE_DOMAINS", ("wrong",))
    assert not equal(right, wrong)


class Interrupted(Exception):
    """Stands for a crash between two epochs, or within one."""


@pytest.mark.parametrize("name", LABELS + KDPL)
def test_an_interrupted_run_ends_with_the_same_prompts_and_record(name, files, tmp_path, monkeypatch):
    whole = trained(files, name, tmp_path / "whole")
    run = trainer_of(configuration(files, name, tmp_path / "part"))
    step, steps = run.forward_backward, []

    def forward_backward(batch):
        steps.append(run.epoch)
        if steps.count(1) == 2:
            raise Interrupted
        return step(batch)

    monkeypatch.setattr(run, "forward_backward", forward_backward)
    with pytest.raises(Interrupted):
        run.train()
    assert not (tmp_path / "part" / "results.json").exists()
    assert equal(trained(files, name, tmp_path / "part"), whole)
    assert record_of(tmp_path / "part") == record_of(tmp_path / "whole")


def record_of(folder: Path) -> dict:
    """All but the time and memory that a run took, and its folder's name."""
    record = json.loads((folder / "results.json").read_text())
    del record["phases"], record["config"]["OUTPUT_DIR"]
    return record


def test_a_run_with_other_settings_is_not_continued(files, tmp_path):
    trained(files, "CoOp_KDPL", tmp_path / "run", "OPTIM.MAX_EPOCH", 1)
    with pytest.raises(ValueError, match="OPTIM.MAX_EPOCH: 1 before, 2 now"):
        trained(files, "CoOp_KDPL", tmp_path / "run", "OPTIM.MAX_EPOCH", 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_prompts(workers, files, tmp_path):
    alone = trained(files, "CoOp_KDPL", tmp_path / "alone")
    assert equal(trained(files, "CoOp_KDPL", tmp_path / "workers", "DATALOADER.NUM_WORKERS", workers), alone)


@pytest.mark.parametrize("name", LABELS + KDPL)
def test_the_saved_prompts_give_the_recorded_result_again(name, files, tmp_path, monkeypatch):
    trained(files, name, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    monkeypatch.setattr("trainers.kdpl.kdpl_trainer.build_teacher", None)  # not needed to evaluate
    run = trainer_of(configuration(files, name, tmp_path / "eval"))
    run.load_model(str(tmp_path / "run"), epoch=3)
    accuracy = run.test()
    again = json.loads((tmp_path / "eval" / "results.json").read_text())
    assert again["mode"] == "eval" and record["mode"] == "train"
    assert again["evaluations"] == record["evaluations"]
    assert again["prompts_sha256"] == record["prompts_sha256"] is not None
    assert accuracy == record["evaluations"][0]["accuracy"]


def test_the_record_says_what_was_done_and_seen(files, tmp_path):
    trained(files, "CoOp_KDPL", tmp_path / "run", *agnostic(files))
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["status"] == "finished" and record["epochs"] == 3 and record["seed"] == 3
    assert record["visible"] == {"train_images": 20, "labels_used": False, "classnames": "vocabulary"}
    (evaluation,) = record["evaluations"]
    assert evaluation["total"] == 20 and evaluation["correct"] == sum(c["correct"] for c in evaluation["per_class"])
    assert [c["classname"] for c in evaluation["per_class"]] == CLASSNAMES
    assert set(record["phases"]) == {"load", "prepare", "train", "test"}
    assert len(record["weights_sha256"]["student"]) == len(record["weights_sha256"]["teacher"]) == 64
    assert record["config"]["TRAINER"]["KDPL"]["K_MAX"] == 4
    assert (tmp_path / "run" / "prompt_learner" / "model.pth.tar-3").is_file()


@pytest.mark.parametrize("name", [f"{name}_KDPL" for name in METHODS if not METHODS[name].learner.learns_visual])
def test_a_resnet_student_is_trained_by_text_prompts(name, files, tmp_path):
    options = ("MODEL.BACKBONE.NAME", str(files / "resnet.safetensors"), "INPUT.SIZE", (64, 64))
    before = trainer_of(configuration(files, name, tmp_path / "start", *options)).model.prompt_learner.state_dict()
    assert not equal(trained(files, name, tmp_path / "run", *options), before)


def test_teachers_of_another_resolution_and_several_at_once(files, tmp_path):
    one = trained(files, "CoOp_KDPL", tmp_path / "one")
    student, resnet = files / "student.safetensors", files / "resnet.safetensors"  # the ResNet takes 64 x 64 pixels
    two = trained(files, "CoOp_KDPL", tmp_path / "two", "TRAINER.KDPL.TEACHER", f"{student}, {resnet}")
    assert not equal(one, two)


@pytest.mark.parametrize("name", ["ZeroshotCLIP", "ZeroshotCLIP2"])
def test_zero_shot_clip_is_evaluated_without_prompts(name, files, tmp_path):
    run = trainer_of(configuration(files, name, tmp_path / "run"))
    run.load_model("")
    run.test()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["evaluations"][0]["total"] == 20
    with pytest.raises(ValueError, match="--eval-only"):
        run.train()


@pytest.mark.parametrize(
    "trainer, options, message",
    [
        ("CoOp", ("INPUT.SIZE", (64, 64)), "takes images of 32 x 32"),
        ("VPT_KDPL", ("MODEL.BACKBONE.NAME", "RN50"), "puts prompts into a ViT"),
        (
            "CoOp_KDPL",
            ("MODEL.BACKBONE.NAME", "open_clip:coca_ViT-B-32/laion2b_s13b_b90k"),
            "CoCa. It can be a teacher",
        ),
        ("VPT", ("MODEL.BACKBONE.NAME", "open_clip:MobileCLIP2-S0/dfndr2b"), "timm's fastvit_mci0. Train CoOp, CoCoOp"),
        ("CoOp_KDPL", ("TRAINER.KDPL.K_MAX", 0), "TRAINER.KDPL.K_MAX is 0"),
        ("CoOp_KDPL", ("TRAINER.KDPL.TEACHER", ""), "Choose one, such as"),
        ("CoOp", ("TRAINER.COOP.PREC", "fp8"), "choose from fp32, bf16, fp16, amp, auto"),
        ("CoOp", ("MODEL.BACKBONE.NAME", "ViT-B/32"), r"INPUT.SIZE is \(32, 32\), but ViT-B/32 takes images of 224"),
    ],
)
def test_what_cannot_work_is_refused_before_training(trainer, options, message, files, tmp_path):
    with pytest.raises(ValueError, match=message):
        trainer_of(configuration(files, trainer, tmp_path / "run", *options))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_epoch(files, tmp_path):
    run = trainer_of(configuration(files, "CoOp_KDPL", tmp_path / "run"))
    step = run.forward_backward

    def forward_backward(batch):
        if run.epoch == 1:
            batch[TEACHER] = batch[TEACHER] * float("nan")
        return step(batch)

    run.forward_backward = forward_backward
    with pytest.raises(FloatingPointError, match="loss became nan"):
        run.train()
    assert torch.load(tmp_path / "run" / "resume.pth", weights_only=True)["epoch"] == 1


def test_agreement_is_reported_before_training_with_a_warning_about_a_poor_teacher(files, tmp_path, capsys):
    student = str(files / "student.safetensors")
    trained(files, "CoOp_KDPL", tmp_path / "run", "TRAINER.KDPL.TEACHER", student)
    told = capsys.readouterr().out
    assert "agreement of teacher and student: 100.0% of 20 training images" in told
    assert "Warning: the teacher is no better than the student" in told
    assert json.loads((tmp_path / "run" / "results.json").read_text())["agreement"]["agreement"] == 100.0


def test_without_labels_for_the_vocabulary_only_agreement_is_reported(files, tmp_path, capsys):
    trained(files, "CoOp_KDPL", tmp_path / "run", *agnostic(files))
    told = capsys.readouterr().out
    assert "Zero-shot agreement" in told and "sample of validation images" not in told


def test_a_folder_to_resume_from_must_hold_a_run(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*does not exist"):
        trained(files, "CoOp_KDPL", tmp_path / "run", "RESUME", str(tmp_path / "nowhere"))
