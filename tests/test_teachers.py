"""Teachers of other libraries, and prompts of earlier runs as teachers."""

import pytest
import torch

import kdpl
from kdpl.clip.precision import resolve_precision
from kdpl.distillation.teacher import build_teacher
from kdpl.fingerprints import sha256_of
from tools.models.families import random_member

from . import other_libraries
from .other_libraries import NAMES, QUICK, family, open_clip

photos, folder = other_libraries.photos, other_libraries.folder  # fixtures


CPU = torch.device("cpu")


def test_the_teachers_own_scale_is_that_of_its_file_and_a_sigmoid_bias_changes_nothing(tmp_path):
    clip, model = random_member(family("ViT-B-32-SigLIP2-256"), tmp_path, small=True)
    assert float(model.logit_bias) == -10
    settings = {"device": CPU, "precision": resolve_precision("fp32", CPU), "logit_scale": 40.0}
    own = build_teacher(clip.name, NAMES, "a photo of a {}.", scale="own", **settings)
    paper = build_teacher(clip.name, NAMES, "a photo of a {}.", **settings)
    size = clip.preprocessing.size
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    texts = open_clip.get_tokenizer(clip.name.removeprefix("open_clip:").partition("/")[0])
    with torch.no_grad():
        image_logits, _ = model.get_logits(image, texts([f"a photo of a {name}." for name in NAMES]))
    torch.testing.assert_close(own(image).softmax(-1), image_logits.softmax(-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(paper(image) / 40.0, own(image) / clip.logit_scale, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["CoOp", "CoCoOp", "MaPLe"])
def test_prompts_of_an_earlier_run_are_a_teacher(method, photos, tmp_path):
    tuned = tmp_path / "tuned.safetensors"
    classifier = kdpl.distill(photos, NAMES, method=method, student="demo:student", teacher="demo:teacher",
                              output=tuned, **QUICK)  # fmt: skip
    settings = {"device": CPU, "precision": resolve_precision("fp32", CPU)}
    scale = classifier.model.logit_scale
    teacher = build_teacher(f"prompts:{tuned}", NAMES, "unused {}", logit_scale=scale, **settings)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(teacher(image).softmax(-1), classifier.probabilities(image), rtol=1e-4, atol=1e-6)
    assert not teacher(image).requires_grad
    output = tmp_path / "student.safetensors"
    kdpl.distill(photos, NAMES, student="demo:student", teacher=f"prompts:{tuned}", output=output, **QUICK)
    said = kdpl.load(output, device="cpu").description["teacher"]
    assert said == {"name": f"prompts:{tuned}", "sha256": sha256_of(tuned)}


@pytest.mark.parametrize(
    "teacher, message",
    [
        ("prompts:absent.safetensors", "absent.safetensors"),
        ("open_clip:ViT-B-32/nothing", "no weights 'nothing'"),
        ("hf:nothing", "is not a repository on the Hub"),
    ],
)
def test_a_teacher_that_does_not_exist_is_refused_before_anything_is_read(teacher, message, photos):
    with pytest.raises((ValueError, OSError), match=message):
        kdpl.distill(photos, NAMES, student="demo:student", teacher=teacher, **QUICK)
    with pytest.raises(ValueError, match="TEACHER_SCALE is 'mine'; choose from student, own"):
        kdpl.distill(photos, NAMES, student="demo:student", teacher="demo:teacher", teacher_scale="mine", **QUICK)
