"""Frozen classifiers: logits, pixels of another CLIP, several teachers, cached texts."""

import pytest
import torch
import torch.nn.functional as F

from kdpl.clip import text_features
from kdpl.clip.precision import resolve_precision
from kdpl.clip.templates import ENSEMBLE_OF_60, TEMPLATES, fill, template_of
from kdpl.clip.towers import OPENAI_MEAN, OPENAI_STD
from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.distillation import teacher as teacher_module
from kdpl.distillation.teacher import Teacher, build_teacher, teacher_names
from tests.tiny_clip import CLASSNAMES, images, loaded

CPU = torch.device("cpu")
FP32 = resolve_precision("fp32", CPU)


def teacher(kind: str = "vit", seed: int = 0, **settings) -> ZeroShotClassifier:
    return ZeroShotClassifier(loaded(kind, seed), CLASSNAMES, precision=FP32, device=CPU, **settings)


def clip_logits(model, batch, texts, scale):
    image_features, features = model.model.encode_image(batch), model.model.encode_text(model.tokenize(texts))
    return scale * F.normalize(image_features, dim=-1) @ F.normalize(features, dim=-1).T


def test_logits_are_cosines_times_the_scale_of_the_student():
    model, batch = loaded(), images(3, loaded().model)
    expected = clip_logits(model, batch, fill("a photo of a {}.", CLASSNAMES), 40.0)
    torch.testing.assert_close(teacher(logit_scale=40.0)(batch), expected, rtol=1e-5, atol=1e-4)


def test_zero_shot_clip_has_its_own_scale():
    model, batch = loaded(), images(3, loaded().model)
    expected = clip_logits(model, batch, fill("a photo of a {}.", CLASSNAMES), model.model.logit_scale.exp())
    torch.testing.assert_close(teacher()(batch), expected, rtol=1e-5, atol=1e-4)


def test_images_are_renormalised_for_a_teacher_of_other_pixels():
    pixels = torch.rand(2, 3, 32, 32)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    own_mean, own_std = (torch.tensor(v)[:, None, None] for v in (OPENAI_MEAN, OPENAI_STD))
    given = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    expected = teacher()((pixels - own_mean) / own_std)
    torch.testing.assert_close(teacher(pixel_mean=mean, pixel_std=std)(given), expected, rtol=1e-4, atol=1e-4)


def test_images_are_resized_for_a_teacher_of_another_resolution():
    batch = images(2, loaded().model)  # 32 pixels; the ResNet takes 64
    larger = F.interpolate(batch, size=(64, 64), mode="bicubic", antialias=True)
    classifier = teacher("resnet")
    torch.testing.assert_close(classifier(batch), classifier(larger))


def test_a_teacher_of_one_clip_gives_its_logits():
    batch, one = images(3, loaded().model), teacher()
    torch.testing.assert_close(Teacher([one])(batch), one(batch), rtol=0, atol=0)


def test_probabilities_of_several_teachers_are_averaged():
    batch, one, two = images(3, loaded().model), teacher(seed=0), teacher(seed=1)
    expected = (one(batch).softmax(-1) + two(batch).softmax(-1)) / 2
    torch.testing.assert_close(Teacher([one, two])(batch).softmax(-1), expected)


def test_the_features_of_several_teachers_lie_side_by_side_and_give_their_logits():
    batch, both = images(3, loaded().model), Teacher([teacher(seed=0), teacher(seed=1)])
    features = both.image_features(batch)
    torch.testing.assert_close(features, torch.cat([one.image_features(batch) for one in both.classifiers], dim=1))
    torch.testing.assert_close(both.logits(features), both(batch), rtol=0, atol=0)
    assert both.weights_sha256 == "vit-0,vit-1"


def test_teachers_are_loaded_by_their_names(monkeypatch, capsys):
    monkeypatch.setattr(teacher_module, "load_clip", lambda name: loaded(seed=int(name)))
    built = build_teacher("0, 1", CLASSNAMES, "a photo of a {}.", precision=FP32, device=CPU, logit_scale=40.0)
    batch = images(3, loaded().model)
    expected = Teacher([teacher(seed=0, logit_scale=40.0), teacher(seed=1, logit_scale=40.0)])(batch)
    torch.testing.assert_close(built(batch), expected, rtol=0, atol=0)
    assert "Loading CLIP (teacher: 1); template: a photo of a {}." in capsys.readouterr().out


def test_a_frozen_model_stays_in_evaluation_mode_and_gives_no_gradient():
    classifier = teacher("resnet").train()
    for frozen in (classifier, Teacher([classifier]).train()):
        assert not any(module.training for module in [*frozen.modules(), *classifier.clip.model.modules()])
        assert not frozen(images(2, loaded("resnet").model)).requires_grad


def test_teachers_are_separated_by_commas():
    assert teacher_names("ViT-L/14, open_clip:ViT-H-14-quickgelu/dfn5b") == [
        "ViT-L/14",
        "open_clip:ViT-H-14-quickgelu/dfn5b",
    ]
    with pytest.raises(ValueError, match="Choose one, such as"):
        teacher_names(" ,")


def test_each_dataset_has_its_template_and_the_users_own_wins():
    assert template_of("Caltech101") == "a photo of a {}."
    assert template_of("EuroSAT") == TEMPLATES["EuroSAT"] == "a centered satellite photo of {}."
    assert template_of("EuroSAT", "a map of {}.") == "a map of {}."
    with pytest.raises(ValueError, match="must contain {} for the class name"):
        template_of("EuroSAT", "a map")
    assert fill("{} texture.", ["lined_up"]) == ["lined up texture."]
    assert len(set(ENSEMBLE_OF_60)) == 60


def test_features_of_many_texts_are_computed_once_for_weights_templates_and_names(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(text_features, "CACHED_FROM", 3)
    calls = []
    make = text_features.text_function
    monkeypatch.setattr(text_features, "text_function", lambda model: calls.append(1) or make(model))

    def features(names=CLASSNAMES, templates=("a {}.", "the {}."), seed=0, **settings):
        return text_features.mean_text_features(loaded(seed=seed), names, templates, FP32, **settings)

    first = features()
    torch.testing.assert_close(features(), first, rtol=0, atol=0)
    assert len(calls) == 1
    for other in ({"names": CLASSNAMES[:3]}, {"templates": ("a {}.",)}, {"seed": 1}, {"normalise_each": True}):
        assert not torch.equal(features(**other)[:3], first[:3])
    assert len(calls) == 5


def test_the_mean_over_templates_is_of_features_as_they_leave_the_tower():
    model = loaded()
    plain = [model.model.encode_text(model.tokenize(fill(t, CLASSNAMES))) for t in ("a {}.", "the big {}.")]
    ours = text_features.mean_text_features(model, CLASSNAMES, ("a {}.", "the big {}."), FP32)
    torch.testing.assert_close(ours, sum(plain) / 2, rtol=1e-5, atol=1e-5)


def test_float16_on_a_cpu_becomes_float32_with_a_notice(capsys):
    precision = resolve_precision("fp16", CPU, "TRAINER.KDPL.PREC")
    assert precision.name == "fp32" and precision.weights_dtype == torch.float32
    assert "TRAINER.KDPL.PREC fp16 needs a CUDA GPU" in capsys.readouterr().out
