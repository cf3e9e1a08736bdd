"""What holds for all prompt learners, and what is particular to each."""

import copy

import pytest
import torch
from torch import Tensor, nn

from kdpl.methods import METHODS
from kdpl.prompts import (
    CoCoOpPromptLearner,
    CoOpPromptLearner,
    MaPLePromptLearner,
    PromptSRCPromptLearner,
    VPTPromptLearner,
)
from kdpl.prompts.prompted_clip import PromptedCLIP
from tests.test_encoders import plain_text_features
from tests.tiny_clip import CLASSNAMES, images, loaded, tokenize

LEARNERS = {
    "CoOp": lambda clip: CoOpPromptLearner(clip, ctx_init="a photo of a"),
    "CoOp random": lambda clip: CoOpPromptLearner(clip, n_ctx=3, ctx_init=""),
    "CoOp middle": lambda clip: CoOpPromptLearner(clip, n_ctx=4, ctx_init="", class_token_position="middle"),
    "CoOp front CSC": lambda clip: CoOpPromptLearner(clip, n_ctx=3, ctx_init="", n_cls=5, class_token_position="front"),
    "CoOp CSC": lambda clip: CoOpPromptLearner(clip, n_ctx=3, ctx_init="", n_cls=5),
    "CoCoOp": lambda clip: CoCoOpPromptLearner(clip, ctx_init="a photo of a"),
    "VPT": lambda clip: VPTPromptLearner(clip, n_vis=3, depth=3),
    "MaPLe": lambda clip: MaPLePromptLearner(clip, n_ctx=2, depth=3),
    "PromptSRC": lambda clip: PromptSRCPromptLearner(clip, n_ctx=4, n_vis=2, depth_text=2, depth_vision=3),
}
DEEP = ("VPT", "MaPLe", "PromptSRC")


def student(name: str, kind: str = "vit", **settings) -> PromptedCLIP:
    clip = loaded(kind)
    model = PromptedCLIP(clip, LEARNERS[name](clip), CLASSNAMES, device="cpu", **settings)
    with torch.random.fork_rng():
        torch.manual_seed(6)  # a seed with which CoCoOp's two hidden units are active
        for parameter in model.prompt_learner.parameters():  # away from the initial values, some of which are equal
            nn.init.normal_(parameter, std=0.1)
    return model


def test_every_method_has_its_learner_here():
    assert {method.learner for method in METHODS.values()} == {type(make(loaded())) for make in LEARNERS.values()}


@pytest.mark.parametrize("name", LEARNERS)
def test_only_prompts_get_gradients_and_all_of_them_do(name):
    model = student(name).train()
    model(images(2, model.clip.model)).sum().backward()
    with_gradient = {n for n, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == {f"prompt_learner.{n}" for n, _ in model.prompt_learner.named_parameters()}
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.prompt_learner.parameters())


@pytest.mark.parametrize("name", LEARNERS)
def test_logits_of_a_class_subset_are_a_slice_of_the_full_logits(name):
    model = student(name)
    batch, subset = images(3, model.clip.model), torch.tensor([0, 3, 4])
    torch.testing.assert_close(model(batch, subset), model(batch)[:, subset], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LEARNERS)
def test_with_fixed_prompts_the_logits_are_the_same_and_text_is_encoded_once(name, monkeypatch):
    model = student(name).eval()
    batch = images(3, model.clip.model)
    expected = model(batch)
    calls = []
    forward = model.text_encoder.forward
    monkeypatch.setattr(model.text_encoder, "forward", lambda *args: calls.append(1) or forward(*args))
    with torch.no_grad(), model.fixed_prompts():
        for _ in range(3):
            torch.testing.assert_close(model(batch), expected, rtol=1e-5, atol=1e-5)
    assert len(calls) == (3 if name == "CoCoOp" else 1)


@pytest.mark.parametrize("name", [name for name in LEARNERS if "CSC" not in name])
def test_other_classes_are_told_apart_within_the_block_only(name):
    model = student(name)
    batch, before = images(2, model.clip.model), model(images(2, model.clip.model))
    with model.classes(["cup", "old steam locomotive"]):
        assert model(batch).shape == (2, 2)
    torch.testing.assert_close(model(batch), before)


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("class_specific", [False, True])
def test_the_class_name_is_where_it_should_be(position, class_specific):
    loaded_clip, clip = loaded(), loaded().model
    learner = CoOpPromptLearner(
        loaded_clip, 3, "", n_cls=len(CLASSNAMES) if class_specific else None, class_token_position=position
    )
    model = PromptedCLIP(loaded_clip, learner, CLASSNAMES, device="cpu")
    tokens = tokenize([f"X X X {name.replace('_', ' ')}." for name in CLASSNAMES])
    embedded, rows = clip.token_embedding(tokens), []
    for c, name in enumerate(CLASSNAMES):
        n = int(tokenize([name.replace("_", " ")]).argmax()) - 1
        ctx = learner.ctx[c] if class_specific else learner.ctx
        words, rest = embedded[c, 4 : 4 + n], embedded[c, 4 + n :]
        before = {"end": 3, "middle": 1, "front": 0}[position]
        rows.append(torch.cat([embedded[c, :1], ctx[:before], words, ctx[before:], rest]))
    expected = plain_text_features(clip, torch.stack(rows), tokens.argmax(-1))
    torch.testing.assert_close(model.encode_text(learner())[0], expected, rtol=1e-5, atol=1e-5)


def test_the_context_starts_from_the_words_and_gives_the_logits_of_zero_shot_clip():
    clip = loaded().model
    model = PromptedCLIP(loaded(), LEARNERS["CoOp"](loaded()), CLASSNAMES, device="cpu")
    assert model.prompt_learner.ctx.shape == (4, 64)
    batch = images(2, clip)
    tokens = tokenize([f"a photo of a {name.replace('_', ' ')}." for name in CLASSNAMES])
    torch.testing.assert_close(model(batch), clip(batch, tokens)[0], rtol=1e-4, atol=1e-4)


def test_each_image_of_cocoop_has_a_context_of_its_own():
    model = student("CoCoOp")
    batch = images(3, model.clip.model)
    one_by_one = torch.cat([model(image[None]) for image in batch])
    torch.testing.assert_close(model(batch), one_by_one, rtol=1e-5, atol=1e-5)
    features = model.encode(batch).text_features
    assert not torch.allclose(features[0], features[1], atol=1e-3)


def test_maple_starts_from_the_first_words_and_leaves_the_others_as_text():
    learner = MaPLePromptLearner(loaded(), n_ctx=2, depth=3)
    words = loaded().model.token_embedding(tokenize(["a photo of a"]))[0, 1:3]
    torch.testing.assert_close(learner.ctx.data, words)
    tokens = learner.class_tokens(["dog"], loaded().towers.text).tokens
    assert torch.equal(tokens, tokenize(["a photo of a dog."])[:, : tokens.shape[1]])
    weights = [projection.weight for projection in learner.compound_prompt_projections]
    assert torch.equal(weights[0], weights[1]) and weights[0] is not weights[1]


@pytest.mark.parametrize("depth, n_deep", [(1, 0), (2, 1), (4, 3), (12, 3)])
def test_a_depth_beyond_the_tower_means_all_blocks(depth, n_deep):
    clip = loaded()  # 4 blocks
    assert len(VPTPromptLearner(clip, depth=depth).deep_visual) == n_deep
    assert len(MaPLePromptLearner(clip, depth=depth).compound_prompts_text) == n_deep
    assert len(PromptSRCPromptLearner(clip, depth_text=depth, depth_vision=1).deep_text) == n_deep


@pytest.mark.parametrize("name", DEEP)
def test_a_depth_below_one_is_refused(name):
    depths = {"depth_vision": 0} if name == "PromptSRC" else {"depth": 0}
    with pytest.raises(ValueError, match="depth is 0"):
        METHODS[name].learner(loaded(), **depths)


@pytest.mark.parametrize("name", DEEP)
def test_visual_prompts_need_a_vit(name):
    with pytest.raises(ValueError, match="ResNet and timm towers work with CoOp, CoCoOp and KgCoOp"):
        LEARNERS[name](loaded("resnet"))


@pytest.mark.parametrize("name", ["CoOp", "CoCoOp"])
def test_batchnorm_of_a_resnet_student_never_changes(name):
    model = student(name, "resnet").train()
    before = copy.deepcopy(model.clip.model.state_dict())
    model(images(4, model.clip.model)).sum().backward()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.clip.model.state_dict().items())


def test_contexts_of_classes_cannot_name_other_classes():
    with pytest.raises(ValueError, match="specific to 5 classes"):
        student("CoOp CSC").set_classnames(["dog", "cat"])


def test_an_unknown_position_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'left'; choose from end, middle, front"):
        CoOpPromptLearner(loaded(), class_token_position="left")


def test_mixed_precision_keeps_float32_prompts_and_gradients():
    expected = student("MaPLe")(images(2, loaded().model))
    model = student("MaPLe", precision="bf16")
    assert model.clip.model.visual.conv1.weight.dtype == torch.bfloat16
    assert model.clip.model.ln_final.weight.dtype == torch.float32
    with model.precision.autocast():
        logits: Tensor = model(images(2, model.clip.model))
    logits.sum().backward()
    assert {parameter.grad.dtype for parameter in model.prompt_learner.parameters()} == {torch.float32}
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.15 * expected.abs().max().item())
