"""Steps as one compiled graph, and batches prepared ahead. CUDA graphs need a GPU and are not tested here."""

import json
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from PIL import Image

from kdpl.clip.precision import resolve_precision
from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.distillation import fast_steps
from kdpl.distillation.agreement import look_at_agreement
from kdpl.distillation.fast_steps import terms_function, total_loss
from kdpl.distillation.look_ahead import HostCounts, one_ahead
from kdpl.distillation.objective import CHOSEN, DistillationObjective, LabelObjective, Objective
from kdpl.distillation.optimization import build_optimizer, with_fused_kernels
from kdpl.distillation.resume import begun_with
from kdpl.distillation.teacher import Teacher
from kdpl.distillation.training import Training
from kdpl.methods import METHODS
from kdpl.prompts.prompted_clip import PromptedCLIP
from kdpl.settings import check_settings
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
    # The first stages of torch.compile, which find every graph break; the last one needs a C++ compiler.
    graphs, compile_ = [], torch.compile
    backend = "aot_eager" if method == "KgCoOp" else lambda graph, inputs: graphs.append(graph) or graph.forward
    monkeypatch.setattr(
        torch, "compile", lambda f, fullgraph, dynamic, mode: compile_(f, fullgraph=fullgraph, backend=backend)
    )
    torch._dynamo.reset()
    target = objective(method, labels=labels)
    compiled = terms_function(target, "compiled")
    for seed in (0, 1):  # the second batch has other paths and must not be recompiled
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
    assert "using plain steps" in capsys.readouterr().out
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


@pytest.mark.parametrize("n_images, n_epochs, labelled, expected", [
    (160, 5, True, 8 + 8), (160, 5, False, 16), (1000, 50, True, 200), (40, 1, True, 8 + 8), (10, 1, False, 10),
])  # fmt: skip
def test_the_look_at_teacher_and_student_costs_two_percent_of_the_teachers_work(
    n_images, n_epochs, labelled, expected, monkeypatch
):
    seen = []
    target = objective("CoOp")
    student = ZeroShotClassifier(loaded(), CLASSNAMES, device="cpu")
    picture, pixels = Image.new("RGB", (4, 4)), images(1, loaded().model)[0]
    training = [(picture, 0)] * n_images
    look_at_agreement(
        target.teacher, student, lambda image: seen.append(image) or pixels, training, training if labelled else [],
        labelled, n_epochs,
    )  # fmt: skip
    assert len(seen) == expected
    assert expected <= max(16, 0.02 * n_images * n_epochs)


def test_auto_is_fp32_on_a_cpu_and_resumes_as_a_run_began(tmp_path, capsys):
    assert resolve_precision("auto", CPU) == resolve_precision("fp32", CPU)
    file, key = tmp_path / "resume.pth", "TRAINER.COOP.PREC"
    assert begun_with(file, key, "auto") == "auto"
    torch.save({"settings": json.dumps({key: "fp16"})}, file)
    assert (begun_with(file, key, "auto"), begun_with(file, key, "bf16")) == ("fp16", "bf16")
    check_settings(file, {key: "fp16"}, {key: "auto"}, {})
    with pytest.raises(ValueError, match="fp16 before, bf16 now"):
        check_settings(file, {key: "fp16"}, {key: "bf16"}, {})


def test_sgd_on_a_cpu_keeps_its_kernels():
    optimizer = build_optimizer([torch.nn.Parameter(torch.zeros(2))], "sgd", 0.1, 0.9, 0.0)
    assert with_fused_kernels(optimizer) is optimizer


class RecordedStream:
    """Stands in for a CUDA stream: notes what is asked of it."""

    def __init__(self, log: list[str], name: str):
        self.log, self.name = log, name

    def wait_stream(self, other: "RecordedStream") -> None:
        self.log.append(f"{self.name} waits for {other.name}")

    def record_event(self) -> str:
        return f"event of batch {sum(entry.startswith('made') for entry in self.log)}"

    def wait_event(self, event: str) -> None:
        self.log.append(f"{self.name} waits for {event}")


def test_on_a_card_the_next_batch_is_made_before_the_step_that_it_comes_after(monkeypatch):
    log: list[str] = []
    main, side = RecordedStream(log, "main"), RecordedStream(log, "side")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)

    def batches():
        for i in (1, 2):
            log.append(f"made {i}")
            yield {"img": torch.tensor([i]), CHOSEN: (torch.tensor([i]), None)}

    for batch in one_ahead(batches(), lambda batch: batch | {"prepared": True}, torch.device("cuda")):
        log.append(f"step {int(batch['img'])} {batch['prepared']}")
    assert log == [
        "side waits for main", "made 1", "made 2", "main waits for event of batch 1", "step 1 True",
        "main waits for event of batch 2", "step 2 True",
    ]  # fmt: skip
