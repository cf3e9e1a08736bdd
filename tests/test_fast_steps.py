"""Steps as one compiled graph, and batches prepared ahead. CUDA graphs need a card: they are not tested here."""

from functools import partial

import pytest
import torch

from kdpl.clip.precision import resolve_precision
from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.distillation import fast_steps
from kdpl.distillation.fast_steps import terms_function, total_loss
from kdpl.distillation.look_ahead import HostCounts, one_ahead
from kdpl.distillation.objective import CHOSEN, DistillationObjective, LabelObjective, Objective
from kdpl.distillation.optimization import build_optimizer
from kdpl.distillation.teacher import Teacher
from kdpl.distillation.training import Training
from kdpl.methods import METHODS
from kdpl.prompts.prompted_clip import PromptedCLIP
from tests.tiny_clip import CLASSNAMES, images, loaded

CPU = torch.device("cpu")
FP32 = resolve_precision("fp32", CPU)


def objective(method: str, max_classes: int | None = None, labels: bool = False) -> Objective:
    entry, clip = METHODS[method], loaded()
    settings = entry.complete({})
    learner = entry.build_learner(clip, settings, len(CLASSNAMES), 1)
    model = PromptedCLIP(clip, learner, CLASSNAMES, device="cpu")
    regulariser = entry.build_regulariser(model.clip, settings, CLASSNAMES, "a photo of a {}.", precision=FP32)
    if labels:
        return LabelObjective(model, regulariser)
    teacher = ZeroShotClassifier(loaded(seed=1), CLASSNAMES, device="cpu", logit_scale=model.logit_scale)
    return DistillationObjective(model, Teacher([teacher]), max_classes, regulariser)


def batch_of(target: Objective, seed: int = 0) -> dict:
    image = images(3, target.model.clip.model, seed)
    features = {name: tower(image) for name, tower in target.frozen_towers().items()}
    return {"img": image, "label": torch.tensor([0, 1, 2]), "impath": [f"{seed}.jpg"] * 3} | features


def gradients(target: Objective, terms) -> list[torch.Tensor]:
    target.model.prompt_learner.zero_grad()
    total_loss(terms).backward()
    return [parameter.grad.clone() for parameter in target.model.prompt_learner.parameters()]


@pytest.mark.parametrize("method, labels", [(method, False) for method in METHODS] + [("CoOp", True)])
def test_a_step_of_every_method_compiles_to_one_graph(method, labels, monkeypatch):
    # The first stages of torch.compile, which know of every break; the last one needs a compiler of C++.
    graphs, compile_ = [], torch.compile
    backend = "aot_eager" if method == "KgCoOp" else lambda graph, inputs: graphs.append(graph) or graph.forward
    monkeypatch.setattr(
        torch, "compile", lambda f, fullgraph, dynamic, mode: compile_(f, fullgraph=fullgraph, backend=backend)
    )
    torch._dynamo.reset()
    target = objective(method, labels=labels)
    compiled = terms_function(target, "compiled")
    for seed in (0, 1):  # the second batch has other paths and must not be compiled anew
        batch = batch_of(target, seed)
        found, expected = gradients(target, compiled(batch)), gradients(target, target.terms(batch))
        assert any(gradient.abs().max() > 0 for gradient in expected)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert len(graphs) == (0 if method == "KgCoOp" else 1)


def test_nothing_in_a_step_asks_the_system(monkeypatch):
    target = objective("CoOp")
    batch = batch_of(target)
    monkeypatch.setattr(fast_steps.torch.cuda, "get_device_properties", None)
    monkeypatch.setattr("os.sysconf", None)
    total_loss(target.terms(batch)).backward()


@pytest.mark.parametrize("kind", ["compiled", "graph"])
def test_class_agnostic_steps_and_graphs_without_a_card_run_plainly_and_say_so(kind, capsys):
    target = objective("CoOp", max_classes=2)
    optimizer = build_optimizer(target.model.prompt_learner.parameters(), "sgd", 0.1, 0.9, 0.0)
    training = Training(target, None, optimizer, None, 1, kind_of_step=kind)
    assert "they run plainly" in capsys.readouterr().out
    before = target.model.prompt_learner.ctx.detach().clone()
    assert training.step(batch_of(target)).keys() == {"loss"}
    assert not torch.equal(target.model.prompt_learner.ctx, before)


def test_classes_chosen_ahead_are_those_of_the_step():
    target = objective("KgCoOp", max_classes=2)
    batch = batch_of(target)
    ahead = target.look_ahead(batch)
    logits, class_indices, counts = ahead[CHOSEN]
    assert logits.shape == (3, 2) and len(class_indices) == sum(counts.tolist()) == 2
    later, now = target.terms(ahead), target.terms(batch)
    assert later.keys() == now.keys() and all(torch.equal(later[name], now[name]) for name in now)
    everything = objective("CoOp")
    assert everything.look_ahead(batch) is batch  # nothing is chosen


def test_batches_come_in_order_and_unchanged_where_there_is_no_card():
    batches = [{"img": torch.tensor([i])} for i in range(3)]
    assert list(one_ahead(iter(batches), partial(pytest.fail, "on a CPU"), CPU)) == batches
    assert HostCounts(torch.tensor([3, 0, 2])).tolist() == [3, 0, 2]
