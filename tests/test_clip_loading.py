"""A CLIP is found by its name, loaded with exactly the published weights, or refused with advice."""

import hashlib
import re
import socket
import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kdpl import fingerprints
from kdpl.clip.loading import DEMO_WEIGHTS, check_clip_name, load_clip
from kdpl.clip.openai import OPENAI_URL, OPENAI_WEIGHTS, clip_from_state_dict, openai_cache, tokenize
from kdpl.clip.towers import OPENAI_MEAN, OPENAI_STD
from kdpl.clip.weight_files import read_state_dict
from kdpl.fingerprints import hash_of
from kdpl.golden import weights as golden_weights
from kdpl.import_guards import import_clip
from tests.loopback_server import LoopbackServer

clip = import_clip()


def tiny_clip(vision_layers=2):
    """A random CLIP: ViT, or ResNet where ``vision_layers`` is a tuple; 32 pixels, 16 dimensions."""
    torch.manual_seed(0)
    model = clip.model.CLIP(16, 32, vision_layers, 64, 16, 77, 49408, 64, 1, 1)
    model.initialize_parameters()
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def tiny():
    return tiny_clip()


@pytest.fixture
def tiny_file(tmp_path):
    """Weights as OpenAI publishes them: a TorchScript archive in half precision with three sizes among the tensors."""
    model = tiny_clip()
    del model.context_length, model.vocab_size  # attributes, but tensors in the archive
    for name, size in {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}.items():
        model.register_buffer(name, torch.tensor(size))
    path = tmp_path / "tiny.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and warns about fixed shapes
        torch.jit.trace(model, (torch.zeros(1, 3, 32, 32), clip.tokenize("a"))).half().save(path)
    return path


def assert_holds(model, state_dict):
    assert model.state_dict().keys() == state_dict.keys()
    for name, tensor in model.state_dict().items():
        expected = state_dict[name].float() if state_dict[name].is_floating_point() else state_dict[name]
        assert tensor.dtype == expected.dtype and torch.equal(tensor, expected), name


@pytest.mark.parametrize("vision_layers", [2, (1, 2, 1, 1)], ids=["ViT", "ResNet"])
def test_weights_survive_exactly_even_where_half_precision_cannot_hold_them(vision_layers):
    weights = tiny_clip(vision_layers).state_dict()
    weights["visual.conv1.weight"][0, 0, 0, 0] = 1e6  # infinite in half precision
    weights["text_projection"][0, 0] = 1.0001  # 1.0 in half precision
    weights["logit_scale"].fill_(3.21)
    given = dict(weights, input_resolution=torch.tensor(32))
    model = clip_from_state_dict(given)
    assert_holds(model, weights)
    assert "input_resolution" in given  # the caller's dict is left alone
    assert not model.training and model.visual.input_resolution == 32 and model.context_length == 77
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("vision_layers", [2, (1, 2, 1, 1)], ids=["ViT", "ResNet"])
def test_a_build_model_that_takes_prompt_design_details_gets_an_empty_design(vision_layers, monkeypatch):
    built, build_model = [], clip.model.build_model

    def build_model_of_maple(state_dict, design_details):
        built.append([design_details[key] for key in ("trainer", "vision_depth", "language_ctx")])
        return build_model(state_dict)

    weights = tiny_clip(vision_layers).state_dict()
    monkeypatch.setattr(clip.model, "build_model", build_model_of_maple)
    assert_holds(clip_from_state_dict(weights), weights)
    assert built == [["CoOp", 0, 0]]


def test_a_build_model_with_unknown_arguments_is_shown_with_the_expected_ones(monkeypatch):
    def build_model(state_dict, h_resolution, w_resolution): ...

    weights = tiny_clip(2).state_dict()
    monkeypatch.setattr(clip.model, "build_model", build_model)
    with pytest.raises(
        ValueError, match=r"build_model in .*model.py takes \(state_dict, h_resolution, .*clip-anytorch"
    ):
        clip_from_state_dict(weights)


@pytest.mark.parametrize("arch", ["vit_s", "vit_t", "rn_s"])
def test_models_of_the_golden_numbers_are_built_and_finite(arch):
    model = clip_from_state_dict(golden_weights.torch_state_dict(arch, 20240))
    with torch.inference_mode():
        image = model.encode_image(torch.from_numpy(golden_weights.images("eval", 2, 64, 1)))
        text = model.encode_text(tokenize(["a photo of a dog.", "a cat"]))
    dimensions = golden_weights.ARCHS[arch]["embed"]
    assert image.shape == text.shape == (2, dimensions)
    assert image.isfinite().all() and text.isfinite().all()


def test_missing_tensors_are_listed(tiny):
    weights = tiny.state_dict()
    del weights["logit_scale"], weights["visual.proj"]
    with pytest.raises(ValueError, match=r"'logit_scale', 'visual.proj \(ViT\)"):
        clip_from_state_dict(weights)
    with pytest.raises(ValueError, match=r"text_projection.*\['fc.weight'\]"):
        clip_from_state_dict({"fc.weight": torch.zeros(2, 2)})


def test_tensors_that_do_not_fit_together_are_named(tiny):
    weights = dict(tiny.state_dict(), surplus=torch.zeros(1))
    del weights["ln_final.bias"]
    with pytest.raises(ValueError, match="(?s)ln_final.bias.*surplus"):
        clip_from_state_dict(weights)


def test_weights_that_are_not_finite_are_named(tiny):
    weights = {key: tensor.clone() for key, tensor in tiny.state_dict().items()}
    weights["visual.proj"][0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"\['visual.proj'\] contain NaN or infinity"):
        clip_from_state_dict(weights)


def test_a_local_file_is_loaded_frozen_with_all_that_its_inputs_need(tiny_file):
    loaded = load_clip(str(tiny_file))
    assert_holds(loaded.model, tiny_clip().half().state_dict())
    assert isinstance(loaded.model, clip.model.CLIP) and loaded.towers.text is not None
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.name == str(tiny_file) and loaded.preprocessing.size == 32
    assert loaded.weights_sha256 == hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    assert loaded.preprocessing.mean == OPENAI_MEAN == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    assert loaded.preprocessing.std == OPENAI_STD == pytest.approx((0.2686, 0.2613, 0.2758), abs=1e-4)


def test_a_file_without_a_clip_is_named(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt: These are not the weights of a CLIP"):
        load_clip(str(tmp_path / "other.pt"))


def test_texts_become_padded_ids_and_one_too_long_is_named(tiny, tmp_path):
    torch.save(tiny.state_dict(), tmp_path / "tiny.pt")
    tokenize = load_clip(str(tmp_path / "tiny.pt")).tokenize
    tokens = tokenize(["a photo of a", " ".join(75 * ["dog"])])
    assert tokens.shape == (2, 77) and tokens.dtype == torch.int64
    assert tokens[0].tolist() == [49406, 320, 1125, 539, 320, 49407] + 71 * [0]
    assert tokens[1, -1] == 49407  # 75 words and the two marks just fit
    with pytest.raises(ValueError, match="dog dog dog .*77 tokens. Shorten"):
        tokenize(["a photo of a", " ".join(76 * ["dog"])])


# ---- OpenAI's names


@pytest.fixture
def mirror(tiny_file, tmp_path, monkeypatch):
    """A mirror that serves the tiny CLIP in place of ViT-B/32; the cache is ``tmp_path / "cache"``."""
    content = tiny_file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(OPENAI_WEIGHTS, "ViT-B/32", (sha256, "ViT-B-32.pt"))
    monkeypatch.setenv("KDPL_CLIP_CACHE", str(tmp_path / "cache"))
    with LoopbackServer({f"/clip/{sha256}/ViT-B-32.pt": content}) as server:
        monkeypatch.setenv("KDPL_CLIP_MIRROR", f"{server.url}/clip/")
        yield server


def test_names_files_and_hashes_are_those_of_the_installed_clip():
    published = {name: f"{OPENAI_URL}/{sha256}/{filename}" for name, (sha256, filename) in OPENAI_WEIGHTS.items()}
    assert clip.clip._MODELS.items() <= published.items()


def test_an_openai_name_is_downloaded_once_into_the_cache(mirror, tiny_file, tmp_path):
    first = load_clip("ViT-B/32")
    weights, sha256 = first.model.state_dict(), first.weights_sha256
    first.model.train()  # a model that was changed is not shared
    second = load_clip("ViT-B/32")
    assert second is not first
    assert len(mirror.requests) == 1
    assert (tmp_path / "cache" / "ViT-B-32.pt").read_bytes() == tiny_file.read_bytes()
    assert sha256 == second.weights_sha256 == hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    assert_holds(second.model, weights)


def test_a_cached_file_that_was_cut_off_is_named_and_fetched_again(mirror, tiny_file, tmp_path, capsys):
    cached = tmp_path / "cache" / "ViT-B-32.pt"
    cached.parent.mkdir()
    cached.write_bytes(tiny_file.read_bytes()[:1000])
    load_clip("ViT-B/32")
    assert f"{cached} has the wrong SHA256" in capsys.readouterr().out
    assert cached.read_bytes() == tiny_file.read_bytes()


def test_without_network_the_message_says_what_where_and_what_to_do(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening
        mirror = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("KDPL_CLIP_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("KDPL_CLIP_MIRROR", mirror)
        with pytest.raises(ConnectionError) as caught:
            load_clip("ViT-L/14")
    sha256, filename = OPENAI_WEIGHTS["ViT-L/14"]
    for part in (
        tmp_path / "cache" / filename,
        f"{mirror}/{sha256}/{filename}",
        "by hand",
        "KDPL_CLIP_MIRROR",
        "local file",
    ):
        assert str(part) in str(caught.value)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".ViT-L-14.pt.lock"]


def test_the_cache_is_openais_own_when_no_other_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("KDPL_CLIP_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert openai_cache() == tmp_path / ".cache" / "clip"


# ---- names


@pytest.mark.parametrize("name", ["RN50", "ViT-L/14@336px"])
def test_openai_names_pass_the_check_without_a_download(name, monkeypatch):
    monkeypatch.setenv("KDPL_CLIP_MIRROR", "http://127.0.0.1:9")
    check_clip_name(name)


@pytest.mark.parametrize(
    "wrong, meant", [("ViT-B32", "'ViT-B/32'"), ("vit-l-14", "'ViT-L/14'"), ("demo:studnet", "'demo:student'")]
)
def test_an_unknown_name_is_refused_with_close_ones_and_the_list(wrong, meant):
    with pytest.raises(ValueError, match=rf"{re.escape(repr(wrong))} \(did you mean {meant}.*RN50x64.*open_clip:"):
        check_clip_name(wrong)


def test_an_absent_file_is_named_with_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/weights/mine.pt does not exist")):
        load_clip("weights/mine.pt")
    (tmp_path / "weights").mkdir()
    with pytest.raises(ValueError, match="No CLIP is called 'weights'"):  # a folder
        check_clip_name("weights")


def test_missing_demo_weights_are_said_to_be_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(DEMO_WEIGHTS, "demo:student", tmp_path / "student.safetensors")
    with pytest.raises(ValueError, match=r"demo:student needs .*student\.safetensors.*missing"):
        load_clip("demo:student")


@pytest.mark.parametrize("name", DEMO_WEIGHTS)
def test_the_demo_pair_is_loaded_by_name(name):
    loaded = load_clip(name)
    with torch.inference_mode():
        image = loaded.model.encode_image(torch.zeros(1, 3, loaded.preprocessing.size, loaded.preprocessing.size))
        text = loaded.model.encode_text(loaded.tokenize(["a photo of a red circle."]))
    assert image.shape == text.shape and image.isfinite().all() and text.isfinite().all()
    assert loaded.weights_sha256 == hashlib.sha256(DEMO_WEIGHTS[name].read_bytes()).hexdigest()


class Called(TorchDispatchMode):
    """Names of the kernels that are called within the block."""

    def __enter__(self):
        self.names = set()
        return super().__enter__()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def test_building_a_clip_draws_no_matrices_that_its_weights_replace(tiny_file):
    state = read_state_dict(tiny_file)
    with Called() as kernels:
        model = clip_from_state_dict(state)
    assert not kernels.names & {"normal_", "uniform_"} and "copy_" in kernels.names
    assert all(torch.equal(tensor, state[name].float()) for name, tensor in model.state_dict().items())


def test_weights_that_have_not_changed_are_hashed_once(tmp_path, monkeypatch):
    file, read = tmp_path / "weights", []
    monkeypatch.setattr(fingerprints, "hash_of", lambda path, kind: read.append(path) or hash_of(path, kind))
    for content, n_read in ((b"one", 1), (b"one", 1), (b"two", 2), (b"two", 2)):
        if not file.exists() or file.read_bytes() != content:
            file.write_bytes(content)
        assert fingerprints.sha256_of(file) == hashlib.sha256(content).hexdigest() and len(read) == n_read
