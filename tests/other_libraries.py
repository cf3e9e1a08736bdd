"""CLIPs of open_clip and transformers for tests, which are skipped without these libraries."""

import json
from pathlib import Path

import pytest
import torch

from tools.models.families import FAMILIES

from .tiny_datasets import write_jpeg

open_clip = pytest.importorskip("open_clip")
transformers = pytest.importorskip("transformers")

NAMES = ["red circle", "blue square", "green star"]
QUICK = {"epochs": 1, "batch_size": 2, "device": "cpu", "progress": False}


def family(member: str):
    return next(each for each in FAMILIES if each.member == member)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(4):
        write_jpeg(folder / f"{i}.jpg", i, (50, 40))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A CLIPModel saved by transformers, with squashed images and a normalisation of its own."""
    folder = tmp_path_factory.mktemp("clip_model")
    tower = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config=tower, vision_config=tower | {"image_size": 32, "patch_size": 8}, projection_dim=32
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    said = {"do_center_crop": False, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder
