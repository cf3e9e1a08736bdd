"""Learned prompts as a classifier: every kind of image, one entry per image; the Hub; published checkpoints."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

import kdpl
from kdpl.conversion import save_published
from kdpl.methods import METHODS
from kdpl.prompts.prompt_file import describe_prompts, save_prompt_file
from tests.tiny_datasets import write_jpeg

CLASSNAMES = ["red solid circle", "blue striped square", "<script>alert(1)</script>"]


def classifier_of(method: str = "CoOp", folder=None, names=CLASSNAMES, **settings) -> kdpl.Classifier:
    """A classifier from a prompt file of initial values."""
    clip, entry = kdpl.load_clip("demo:student"), METHODS[method]
    complete = entry.complete(settings)
    learner = entry.build_learner(clip, complete, len(names), seed=3)
    path = folder / f"{method}.safetensors"
    save_prompt_file(path, learner, describe_prompts(method, complete, learner, clip, classnames=names, epoch=7))
    return kdpl.load(path, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("classifier")


@pytest.fixture(scope="module")
def classifier(folder):
    return classifier_of(folder=folder)


def test_every_kind_of_image_gives_one_entry_per_image(classifier, folder):
    path = write_jpeg(folder / "photos" / "1.jpg", 1, (80, 70))
    image = Image.open(path).convert("RGB")
    array, tensor = np.asarray(image), pil_to_tensor(image)
    kinds = [
        path, str(path), path.parent, image, array, array / 255.0, tensor, tensor / 255, array[None], tensor[None],
        [path], iter([image]), [(image, 5)],
    ]  # fmt: skip
    expected = classifier.predict(path, top=3)
    assert len(expected) == 1 and sum(p for _, p in expected[0].top) == pytest.approx(1.0)
    for images in kinds:
        assert classifier.predict(images, top=3) == expected
    mixed = classifier.predict([path, image, array, tensor], batch_size=3)
    assert [row.classname for row in mixed] == [expected[0].classname] * 4 and len(mixed[0].top) == 1
    assert classifier.predict([]) == [] and classifier.logits([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((8, 8, 4), np.uint8), ValueError, "height, width, 3"),
        (np.full((8, 8, 3), -1.5), ValueError, "from 0 to 1"),
        (np.zeros((8, 8, 3), np.int64), ValueError, "uint8"),
        (torch.zeros(8, 8, 3), ValueError, "3, height, width"),
        (17, TypeError, "got a int"),
        ("absent.jpg", FileNotFoundError, "absent.jpg"),
    ],
)
def test_anything_but_an_image_is_refused(classifier, image, error, message):
    with pytest.raises(error, match=message):
        classifier.predict(image)


def test_unreadable_images_stop_or_are_kept_as_asked(classifier, folder):
    good = write_jpeg(folder / "mixed" / "1.jpg", 1)
    bad = folder / "mixed" / "2.jpg"
    bad.write_bytes(good.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"2\.jpg cannot be read"):
        classifier.predict(folder / "mixed")
    first, second, third = classifier.predict([good, bad, good], unreadable="keep")
    assert first == third and first.error is None and first.classname in CLASSNAMES
    assert second.classname is None and second.top == [] and "2.jpg cannot be read" in second.error


@pytest.mark.parametrize("method", METHODS)
def test_logits_are_the_scaled_cosines_of_the_features(method, folder):
    classifier = classifier_of(method, folder)
    images = torch.rand(5, 3, 64, 64)
    logits, features = classifier.logits(images), classifier.image_features(images)
    assert logits.shape == (5, 3) and features.shape == (5, 64)
    if method == "CoCoOp":
        with pytest.raises(ValueError, match="depend on the image"):
            _ = classifier.text_features
    else:
        expected = classifier.model.logit_scale * (features @ classifier.text_features.T)
        assert torch.allclose(logits, expected, atol=1e-5)
    assert torch.allclose(classifier.logits(images[:1]), logits[:1], atol=1e-4)
    other = classifier.with_classnames(["a", "b"])
    assert other.logits(images).shape == (5, 2) and classifier.logits(images).shape == (5, 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_published_checkpoint_loads_with_the_lengths_that_its_tensors_have(method, folder):
    settings = {"n_ctx": 3, "n_vis": 5, "depth": 2, "depth_text": 2, "depth_vision": 3}
    visual = METHODS[method].learner.learns_visual
    settings["ctx_init"] = "a big" if visual else ""
    classifier = classifier_of(method, folder, **{k: v for k, v in settings.items() if k in METHODS[method].settings})
    path = folder / f"{method}.pth.tar-7"
    save_published(path, classifier.model.prompt_learner, classifier.description)
    content = torch.load(path, weights_only=True)
    assert content["epoch"] == 7
    torch.save({"state_dict": content["state_dict"], "epoch": 7}, path)  # as published: nothing says what it is
    with pytest.raises(ValueError, match="record the method and student"):
        kdpl.load(path, CLASSNAMES)
    words = {"ctx_init": "a big"} if visual else {}
    loaded = kdpl.load(path, CLASSNAMES, method=method, student="demo:student", settings=words, device="cpu")
    assert loaded.description["epoch"] == 7
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(loaded.logits(image), classifier.logits(image))


def test_contexts_of_classes_take_as_many_names_as_they_were_learned_for(folder):
    classifier = classifier_of("CoOp", folder, class_specific=True, ctx_init="")
    with pytest.raises(ValueError, match="one context for each of 3 classes"):
        kdpl.load(folder / "CoOp.safetensors", ["cat", "dog"])
    with pytest.raises(ValueError, match="specific to 3 classes"):
        classifier.with_classnames(["cat", "dog"])
    classifier_of("CoOp", folder)
