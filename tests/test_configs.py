"""Every shipped configuration file."""

import json
from pathlib import Path

import pytest
import torch
from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.optim import build_lr_scheduler
from yacs.config import CfgNode

import datasets  # noqa: F401  registers them
import trainers  # noqa: F401  registers them
from kdpl.methods import METHODS
from kdpl.verification.golden_file import GOLDEN
from tools.sweep.choice import STUDENTS, default_cfg
from trainers.kdpl.config import extend_cfg, method_settings

from .conftest import ROOT

TRAINER_FILES = sorted((ROOT / "configs" / "trainers").glob("*/*.yaml"))
DATASET_FILES = sorted((ROOT / "configs" / "datasets").glob("*.yaml"))
BACKBONES = {stem: name for name, stem in STUDENTS.items() if name != "RN101"}  # which takes those of RN50
OF_LIBRARIES = [stem for stem, name in BACKBONES.items() if name.startswith("open_clip:")]


def merged(*files: Path) -> CfgNode:
    cfg = get_cfg_default()
    extend_cfg(cfg)
    for file in files:
        cfg.merge_from_file(str(file))  # raises for a key that does not exist, or a value of another type
    return cfg


@pytest.mark.parametrize("file", TRAINER_FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_trainers_file_has_existing_keys_its_own_student_and_a_trainer(file):
    cfg = merged(file)
    assert file.parent.name in TRAINER_REGISTRY.registered_names()
    assert cfg.MODEL.BACKBONE.NAME == next(name for stem, name in BACKBONES.items() if file.stem.startswith(stem))
    assert cfg.OPTIM.NAME == "sgd" and cfg.OPTIM.LR_SCHEDULER == "cosine"
    assert cfg.INPUT.TRANSFORMS[-1] == "normalize"


@pytest.mark.parametrize("file", DATASET_FILES, ids=lambda file: file.stem)
def test_a_datasets_file_names_a_dataset(file):
    assert merged(file).DATASET.NAME in DATASET_REGISTRY.registered_names()


@pytest.mark.parametrize("method", METHODS)
def test_with_and_without_a_teacher_a_method_has_the_same_settings(method):
    supervised, distilled = (
        {file.name: file for file in TRAINER_FILES if file.parent.name == trainer}
        for trainer in (method, f"{method}_KDPL")
    )
    assert supervised.keys() == distilled.keys() != set()
    for name in supervised.keys() - {"demo.yaml"}:
        ours, theirs = merged(distilled[name]), merged(supervised[name])
        for node in (METHODS[method].node, "KDPL"):  # CoOp's keys say fp16
            assert (ours.TRAINER[node].pop("PREC"), theirs.TRAINER[node].pop("PREC")) == ("auto", "fp16")
        assert ours == theirs


@pytest.mark.parametrize(
    "trainer, epochs, batch, rate, prompts",
    [
        ("CoOp", 50, 32, 0.002, {"CTX_INIT": "a photo of a", "CSC": False, "CLASS_TOKEN_POSITION": "end"}),
        ("CoCoOp", 10, 1, 0.002, {"N_CTX": 4, "CTX_INIT": "a photo of a"}),
        ("VPT", 5, 4, 0.0025, {"N_CTX_VISION": 8, "PROMPT_DEPTH_VISION": 12}),
        ("MaPLe", 5, 4, 0.0035, {"N_CTX": 2, "PROMPT_DEPTH": 9}),
        ("PromptSRC", 20, 4, 0.0025, {"N_CTX_TEXT": 4, "N_CTX_VISION": 4}),
        ("KgCoOp", 100, 128, 0.002, {"CTX_INIT": "a photo of a", "W": 8.0}),
    ],
)
def test_published_settings(trainer, epochs, batch, rate, prompts):
    for file in TRAINER_FILES:
        if file.parent.name == trainer and file.stem != "demo":
            cfg = merged(file)
            size = () if file.stem.startswith(tuple(OF_LIBRARIES)) else (224, 224)  # (): the student's
            assert (cfg.OPTIM.MAX_EPOCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE, cfg.OPTIM.LR) == (epochs, batch, rate)
            assert (cfg.OPTIM.MOMENTUM, cfg.OPTIM.WEIGHT_DECAY, cfg.INPUT.SIZE) == (0.9, 5e-4, size)
            assert prompts.items() <= cfg.TRAINER[trainer.upper()].items()


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_the_library_starts_from_the_settings_of_the_files(method):
    for stem in ("vit_b32", "vit_b16", "rn50"):
        file = ROOT / "configs" / "trainers" / method.name / f"{method.config.format(stem)}.yaml"
        if not file.is_file():
            assert stem != "vit_b32" and (stem != "rn50" or method.learner.learns_visual)
            continue
        cfg = merged(file)
        ours = (method.epochs, method.batch_size, method.lr)
        assert (cfg.OPTIM.MAX_EPOCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE, cfg.OPTIM.LR) == ours
        settings = method_settings(cfg, method)
        if settings["ctx_init"] and "n_ctx" in settings:  # as many vectors as words, whatever the number says
            settings["n_ctx"] = method.complete({})["n_ctx"]
        assert settings == method.complete({})


@pytest.mark.parametrize("suffix, depth, mean, std", [("", 9, 15, 1), ("_cross_datasets", 3, 6, 10)])
def test_promptsrc_goes_less_deep_and_averages_wider_for_transfer(suffix, depth, mean, std):
    name = f"vit_b32_c2_ep20_batch4_4+4ctx{suffix}.yaml"
    node = merged(ROOT / "configs" / "trainers" / "PromptSRC_KDPL" / name).TRAINER.PROMPTSRC
    assert (node.PROMPT_DEPTH_TEXT, node.PROMPT_DEPTH_VISION) == (depth, depth)
    assert (node.GPA_MEAN, node.GPA_STD) == (mean, std)


def test_the_published_schedules_come_out_of_the_files():
    schedules = json.loads((GOLDEN / "golden_public.json").read_text())["lr_schedules"]
    assert schedules
    for name, golden in schedules.items():
        cfg = merged(ROOT / "configs" / "trainers" / f"{name}.yaml")
        assert cfg.DATALOADER.TRAIN_X.BATCH_SIZE == golden["batch_size"]
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.OPTIM.LR)
        scheduler = build_lr_scheduler(optimizer, cfg.OPTIM)
        rates = []
        for _ in range(cfg.OPTIM.MAX_EPOCH):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        assert rates == pytest.approx(golden["lr_per_epoch"], rel=1e-6), name


@pytest.mark.parametrize("stem", OF_LIBRARIES)
def test_students_of_other_libraries_differ_from_vit_b16_only_in_name_and_images(stem):
    files = [file for file in TRAINER_FILES if file.stem.startswith(stem)]
    text_methods = [name for name, method in METHODS.items() if not method.learner.learns_visual]
    methods = text_methods if stem.startswith("mobileclip") else METHODS
    assert {file.parent.name.removesuffix("_KDPL") for file in files} == set(methods)
    for file in files:
        ours, theirs = merged(file), merged(file.with_name(file.name.replace(stem, "vit_b16")))
        METHODS[file.parent.name.removesuffix("_KDPL")].check_student(ours.MODEL.BACKBONE.NAME)
        assert not any(ours.INPUT[key] for key in ("SIZE", "INTERPOLATION", "PIXEL_MEAN", "PIXEL_STD", "RESIZE"))
        ours.MODEL.BACKBONE.NAME = theirs.MODEL.BACKBONE.NAME
        ours.INPUT = theirs.INPUT
        assert ours == theirs


def test_an_unlisted_student_of_another_library_gets_a_file_that_leaves_its_images_to_it():
    assert default_cfg("CoOp_KDPL", "CoOp", "open_clip:ViT-B-16-SigLIP2/webli") == "laion_vit_b16_ctxv1"
    assert default_cfg("CoOp_KDPL", "CoOp", "hf:openai/clip-vit-base-patch16") == "laion_vit_b16_ctxv1"
    assert default_cfg("CoOp_KDPL", "CoOp", "weights.pt") == "vit_b32_ctxv1"
