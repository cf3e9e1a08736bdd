"""open_clip models by tag or file come with their own tokenizer and pixel normalisation."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time

import pytest
import torch

from kdpl.clip.loading import check_clip_name, load_clip

open_clip = pytest.importorskip("open_clip")

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}
LOAD = """
from kdpl.clip.loading import load_clip
try:
    load_clip("open_clip:ViT-H-14-quickgelu/dfn5b")
except ConnectionError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A random open_clip model called KDPL-test, and its checkpoint."""
    folder = tmp_path_factory.mktemp("open_clip")
    (folder / "KDPL-test.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / "KDPL-test.json")
    torch.manual_seed(0)
    model = open_clip.create_model("KDPL-test").eval()
    torch.save(model.state_dict(), folder / "checkpoint.pt")
    return model, folder / "checkpoint.pt"


def test_a_checkpoint_file_gives_open_clips_own_features(saved):
    model, path = saved
    loaded = load_clip(f"open_clip:KDPL-test/{path}")
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    texts = ["a photo of a dog.", "red striped circle"]
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model.encode_image(image), model.encode_image(image))
        own_tokens = open_clip.get_tokenizer("KDPL-test")(texts)
        torch.testing.assert_close(loaded.model.encode_text(loaded.tokenize(texts)), model.encode_text(own_tokens))
    assert not loaded.model.training and loaded.preprocessing.size == 32
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_text_too_long_is_named_where_open_clip_would_cut_it(saved):
    tokenize = load_clip(f"open_clip:KDPL-test/{saved[1]}").tokenize
    tokens = tokenize(["dog", " ".join(18 * ["dog"])])  # with the two marks 20 tokens, which just fit
    assert tokens.shape == (2, 20) and tokens.dtype == torch.int64
    assert tokens[0].tolist() == [49406, 1929, 49407] + 17 * [0]
    with pytest.raises(ValueError, match="dog dog dog .*20 tokens. Shorten"):
        tokenize(["dog", " ".join(19 * ["dog"])])


def test_weights_of_another_model_are_refused_with_the_reason(saved, tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"(?s)other\.pt does not contain .* KDPL-test.*fc\.weight"):
        load_clip(f"open_clip:KDPL-test/{tmp_path / 'other.pt'}")


def test_a_tag_in_the_hubs_cache_is_loaded_without_network_as_it_was_trained(saved, tmp_path, monkeypatch):
    tag = {"hf_hub": "somebody/tiny/", "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "KDPL-test", {"some_tag": tag})
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, filename: str(saved[1]))
    loaded = load_clip("open_clip:KDPL-test/some_tag")
    assert loaded.preprocessing.mean == (0.5, 0.5, 0.5) and loaded.preprocessing.std == (0.25, 0.25, 0.25)
    quick = open_clip.create_model("KDPL-test", pretrained=str(saved[1]), force_quick_gelu=True).eval()
    with torch.inference_mode():
        image = torch.ones(1, 3, 32, 32)
        torch.testing.assert_close(loaded.model.encode_image(image), quick.encode_image(image))
        assert not torch.allclose(quick.encode_image(image), saved[0].encode_image(image))


@pytest.mark.parametrize(
    "name, message",
    [
        ("open_clip:ViT-H14/dfn5b", "no model 'ViT-H14' .did you mean 'ViT-H-14'"),
        ("open_clip:ViT-H-14-quickgelu/dfn5", "did you mean 'dfn5b'.*metaclip_fullcc.*/dfn5 is not a file"),
        ("open_clip:ViT-H-14-quickgelu", "only .'metaclip_fullcc', 'dfn5b'.*ViT-H-14-quickgelu/<tag or file>"),
        ("open_clip:", "no model ''"),
    ],
)
def test_unknown_models_and_tags_are_refused_with_close_ones_and_the_list(name, message):
    with pytest.raises(ValueError, match=message):
        check_clip_name(name)


def test_without_open_clip_the_message_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['open_clip'] = None\n" + LOAD.replace("Connection", "Value")],
        capture_output=True,
        text=True,
    )
    assert "pip install" in done.stdout and "open-clip-torch" in done.stdout, done.stderr


def test_known_tags_pass_the_check_in_either_spelling():
    check_clip_name("open_clip:ViT-H-14-quickgelu/dfn5b")
    check_clip_name("open_clip:ViT-B-32/laion2b-s34b-b79k")


def test_without_network_the_hub_is_given_up_in_seconds(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        environment = dict(os.environ, HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path))  # read when the client is imported
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True)
    assert time.monotonic() - started < 40  # without the early check, 46 seconds more than the imports
    assert f"{endpoint}/apple/DFN5B-CLIP-ViT-H-14" in done.stdout, done.stderr
    assert "open_clip:ViT-H-14-quickgelu/<file>" in done.stdout and str(tmp_path) in done.stdout
