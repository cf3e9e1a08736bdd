"""Models of other libraries on machines without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdpl.clip.loading import check_clip_name

from . import other_libraries
from .conftest import ROOT
from .other_libraries import NAMES

photos, folder = other_libraries.photos, other_libraries.folder  # fixtures


NO_SOCKETS = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def hub(folder, tmp_path_factory) -> Path:
    """A cache of the hub that has one model."""
    home = tmp_path_factory.mktemp("hub")
    model = home / "hub" / "models--somebody--tiny-clip"
    shutil.copytree(folder, model / "snapshots" / "abc123")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc123")
    return home


def offline(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Python without sockets."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "KDPL_", "XDG_"))}
    return subprocess.run(
        [sys.executable, "-c", NO_SOCKETS + code], cwd=ROOT, capture_output=True, text=True,
        env={**clean, "OMP_NUM_THREADS": "1", "KDPL_OFFLINE": "1", **environment},
    )  # fmt: skip


def test_models_fetched_into_a_folder_work_on_a_machine_without_network(hub, photos, tmp_path):
    target = tmp_path / "copy"
    fetch = (
        f"from kdpl.__main__ import main; sys.exit(main(['fetch', 'hf:somebody/tiny-clip', '--to', {str(target)!r}]))"
    )
    done = offline(fetch, HF_HOME=str(hub), HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    moved = target.rename(tmp_path / "moved")
    sourced = subprocess.run(
        ["bash", "-c", f"source {moved}/env.sh && env"], capture_output=True, text=True, check=True
    ).stdout
    environment = dict(line.split("=", 1) for line in sourced.splitlines() if line.startswith(("HF_", "KDPL_", "XDG_")))
    learn = f"""
import kdpl
output = {str(tmp_path / "prompts.safetensors")!r}
kdpl.distill({str(photos)!r}, {NAMES!r}, student="hf:somebody/tiny-clip", teacher="demo:teacher", output=output,
             epochs=1, batch_size=2, device="cpu", progress=False)
print(kdpl.load(output, device="cpu").description["student"]["source"])
"""
    done = offline(learn, **environment, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "{'repository': 'somebody/tiny-clip', 'revision': 'abc123'}" in done.stdout


def test_offline_all_that_is_missing_is_listed_with_the_command_that_fetches_it(photos, tmp_path):
    learn = f"""
import kdpl
try:
    kdpl.distill({str(photos)!r}, student="ViT-B/32", teacher="open_clip:ViT-B-16-SigLIP2/webli, hf:somebody/other")
except ConnectionError as error:
    print(error)
"""
    said = offline(learn, HOME=str(tmp_path), HF_HOME=str(tmp_path / "hf")).stdout
    for missing in ("ViT-B-32.pt", "open_clip_model.safetensors", "tokenizer.json", "hf:somebody/other: config.json",
                    "class list of Open Images"):  # fmt: skip
        assert missing in said, said
    assert "kdpl fetch ViT-B/32 open_clip:ViT-B-16-SigLIP2/webli hf:somebody/other vocabulary --to FOLDER" in said


def test_names_of_the_hub_are_checked_before_anything_is_fetched():
    check_clip_name("hf:openai/clip-vit-base-patch32")
    check_clip_name("hf:openai/clip-vit-base-patch32@main")
    with pytest.raises(ValueError, match="write hf:ORG/NAME"):
        check_clip_name("hf:clip")
