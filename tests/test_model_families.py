"""A small member of every family of CLIPs, compared with its own library and trained with every method that applies."""

from functools import cache

import pytest
import torch
from PIL import Image

import kdpl
from kdpl.clip.loaded import LoadedCLIP
from kdpl.clip.loading import load_clip
from kdpl.distillation.training import Training
from kdpl.methods import METHODS
from kdpl.prompts.prompted_clip import PromptedCLIP

pytest.importorskip("open_clip")
pytest.importorskip("transformers")

from tools.models.families import FAMILIES, random_member  # noqa: E402
from tools.models.measuring import CLASSNAMES, LARGEST, Comparison, compare, compare_transformers  # noqa: E402

BY_MEMBER = {family.member: family for family in FAMILIES}
TRANSFORMERS = "transformers"
TEACHERS_ONLY = {"coca_ViT-B-32"}
TEXT = {name for name, method in METHODS.items() if not method.learner.learns_visual}
VIT = {"ViT-B-32-quickgelu", "ViT-B-32", "ViT-M-16-alt", "ViT-L-14-CLIPA", "ViT-H-14-worldwide-quickgelu",
       "ViT-L-14-worldwide", TRANSFORMERS}  # fmt: skip
MEMBERS = [*BY_MEMBER, TRANSFORMERS]
PAIRS = [
    (member, method) for member in MEMBERS if member not in TEACHERS_ONLY for method in METHODS
    if method in TEXT or member in VIT
]  # fmt: skip
PICTURES = [Image.effect_mandelbrot((40, 36), (-2, -1, 1, 1), 10 + 30 * i).convert("RGB") for i in range(2)]
QUICK = {"epochs": 2, "batch_size": 2, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A function from a member to its comparison and its CLIP; each is made once and stays in memory."""

    kept = [load_clip(name) for name in ("demo:teacher", "demo:student")]  # loaded once for all

    @cache
    def compared(member: str) -> tuple[Comparison, LoadedCLIP]:
        folder = tmp_path_factory.mktemp("family")
        if member == TRANSFORMERS:
            return compare_transformers(folder, small=True), load_clip(str(folder))
        comparison = compare(BY_MEMBER[member], folder, small=True)
        return comparison, random_member(BY_MEMBER[member], folder, small=True)[0]

    yield compared
    kept.clear()


@pytest.mark.parametrize("member", MEMBERS)
def test_features_are_those_of_its_own_library(member, found):
    comparison, _ = found(member)
    assert comparison.text < LARGEST and comparison.image < LARGEST
    assert comparison.text_prompts is (member not in TEACHERS_ONLY)
    assert comparison.visual_prompts is (member in VIT)


@pytest.mark.parametrize("member, method", PAIRS)
def test_only_prompts_get_gradients(member, method, found):
    _, clip = found(member)
    learner = METHODS[method].build_learner(clip, METHODS[method].complete({}))
    model = PromptedCLIP(clip, learner, CLASSNAMES[:2], device="cpu")
    size = clip.preprocessing.size
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    model(image)[0, 0].backward()
    gradients = {name: parameter.grad for name, parameter in learner.named_parameters()}
    assert gradients and all(grad is not None and grad.isfinite().all() for grad in gradients.values())
    assert any(grad.abs().max() > 0 for grad in gradients.values())
    assert all(parameter.grad is None for parameter in clip.model.parameters())


@pytest.mark.parametrize("member, method", PAIRS)
def test_trained_interrupted_resumed_loaded_and_kept_from_other_students(member, method, found, tmp_path, monkeypatch):
    _, clip = found(member)
    arguments = {"method": method, "student": clip.name, "teacher": "demo:teacher", **QUICK}
    whole = kdpl.distill(PICTURES, CLASSNAMES[:2], **arguments)
    file, run_epoch = tmp_path / "prompts.safetensors", Training.run_epoch

    def interrupted(self, *args, **kwargs):
        if self.epoch == 1:
            raise KeyboardInterrupt
        run_epoch(self, *args, **kwargs)

    monkeypatch.setattr(Training, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kdpl.distill(PICTURES, CLASSNAMES[:2], **arguments, output=file)
    monkeypatch.undo()
    kdpl.distill(PICTURES, CLASSNAMES[:2], **arguments, output=file)
    loaded = kdpl.load(file, device="cpu")
    for name, tensor in whole.model.prompt_learner.state_dict().items():
        assert torch.equal(loaded.model.prompt_learner.state_dict()[name], tensor), name
    torch.testing.assert_close(loaded.logits(PICTURES), whole.logits(PICTURES), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"student: .* in the file, demo:student"):
        kdpl.load(file, device="cpu", student="demo:student")
