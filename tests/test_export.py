"""Exported classifiers compute what the library computes, in the programs that they are written for."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import kdpl
from kdpl.export import exporting
from kdpl.export.preprocessing import InsidePreprocessing
from kdpl.images.transforms import evaluation_transform
from kdpl.methods import METHODS
from kdpl.prompts.prompted_clip import PromptedCLIP
from tests.tiny_clip import images as random_images
from tests.tiny_clip import loaded

CLASSNAMES = ["dog", "grand piano", "<script>"]


def classifier_of(method: str, kind: str = "vit") -> kdpl.Classifier:
    clip, entry = loaded(kind), METHODS[method]
    learner = entry.build_learner(clip, entry.complete({}), len(CLASSNAMES), seed=3)
    model = PromptedCLIP(clip, learner, CLASSNAMES, device="cpu")
    return kdpl.Classifier(model, {"method": method}, evaluation_transform(clip.preprocessing))


def pictures(n: int) -> list[Image.Image]:
    """Smooth pictures of many sizes, narrower, wider and smaller than the student's input."""
    drawn = np.random.default_rng(0)
    sizes = [(50 + 7 * i, 90 - 3 * i) if i % 3 else (20 + i, 33) for i in range(n)]
    return [Image.fromarray(drawn.integers(0, 255, (6, 7, 3), np.uint8)).resize(size, Image.BICUBIC) for size in sizes]


@pytest.mark.parametrize(("method", "kind"), [("MaPLe", "vit"), ("CoOp", "resnet")])
def test_onnx_computes_the_logits_of_normalised_images_in_any_number(method, kind, tmp_path):
    ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnx onnxruntime onnxscript")
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    classifier = classifier_of(method, kind)
    report = classifier.export(tmp_path / "model.onnx")
    assert report.difference < 1e-4 and report.n_images == 8
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for n in (1, 5):
        images = random_images(n, classifier.model.clip.model)
        logits, probabilities = session.run(["logits", "probabilities"], {"image": images.numpy()})
        with torch.no_grad():
            expected = classifier.model(images)
        assert np.abs(logits - expected.numpy()).max() < 1e-4
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-5)
    facts = {entry.key: entry.value for entry in onnx.load(str(tmp_path / "model.onnx")).metadata_props}
    assert json.loads(facts["kdpl.classnames"]) == CLASSNAMES
    assert json.loads(facts["kdpl.preprocessing"])["size"] == classifier.model.clip.preprocessing.size


def test_onnx_with_preprocessing_takes_uint8_of_any_size(tmp_path):
    ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnx onnxruntime onnxscript")
    pytest.importorskip("onnxscript")
    classifier = classifier_of("CoOp")
    drawn = pictures(12)
    report = classifier.export(tmp_path / "model.onnx", with_preprocessing=True, images=drawn)
    assert report.same_class >= 0.99 and report.difference < 0.05
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    batch = np.stack([np.asarray(drawn[1]).transpose(2, 0, 1)] * 3)
    (logits,) = session.run(["logits"], {"image": batch})
    assert np.abs(logits - classifier.logits([drawn[1]] * 3).numpy()).max() < 0.05


def test_preprocessing_inside_is_pillows_to_the_grey_level():
    preprocessing = classifier_of("CoOp").model.clip.preprocessing
    inside, transform = InsidePreprocessing(preprocessing), evaluation_transform(preprocessing)
    one_level = 1 / 255 / min(preprocessing.std)
    for picture in pictures(30):
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        difference = (inside(pixels)[0] - transform(picture)).abs()
        assert difference.max() < 1.01 * one_level and (difference > 1e-5).float().mean() < 0.005


def test_a_pytorch_program_computes_the_same(tmp_path):
    classifier = classifier_of("PromptSRC")
    assert classifier.export(tmp_path / "model.pt2").difference < 1e-4
    images = random_images(3, classifier.model.clip.model)
    logits, _ = torch.export.load(tmp_path / "model.pt2").module()(images)
    with torch.no_grad():
        assert torch.allclose(logits, classifier.model(images), atol=1e-4)


def test_a_matrix_works_with_a_plain_clip(tmp_path):
    classifier = classifier_of("KgCoOp")
    classifier.export(tmp_path / "classifier.safetensors")
    with safe_open(tmp_path / "classifier.safetensors", framework="pt") as file:
        matrix, scale, facts = file.get_tensor("text_features"), file.get_tensor("logit_scale"), file.metadata()
    assert json.loads(facts["kdpl.classnames"]) == CLASSNAMES
    clip = classifier.model.clip.model
    images = random_images(3, clip)
    with torch.no_grad():
        features = clip.encode_image(images)  # OpenAI's code
        logits = scale * (features / features.norm(dim=-1, keepdim=True)) @ matrix.T
        assert torch.allclose(logits, classifier.model(images), atol=1e-4)


@pytest.mark.parametrize(
    ("method", "name", "preprocessing", "message"),
    [
        ("CoCoOp", "model.pt2", False, "depend on the image"),
        ("MaPLe", "classifier.safetensors", False, "also has prompts in the image tower"),
        ("CoOp", "classifier.safetensors", True, "have no image tower"),
        ("CoOp", "model.pb", False, "unknown file extension"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_reason(method, name, preprocessing, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        classifier_of(method).export(tmp_path / name, with_preprocessing=preprocessing)
    assert not list(tmp_path.iterdir())


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "load_file", lambda _: {"text_features": torch.ones(3, 32), "logit_scale": 1.0})
    with pytest.raises(FloatingPointError, match="gives different results"):
        classifier_of("CoOp").export(tmp_path / "classifier.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_matrix_has_the_same_bytes_every_time_and_may_be_read_by_others(tmp_path):
    classifier = classifier_of("CoOp")
    files = [tmp_path / f"{n}.safetensors" for n in range(4)]
    for file in files:
        classifier.export(file)
    assert len({file.read_bytes() for file in files}) == 1
    (tmp_path / "usual").touch()
    assert files[0].stat().st_mode == (tmp_path / "usual").stat().st_mode
