"""The benchmark and `kdpl doctor --gpu` on small models: their output follows from their measurements."""

import json

import pytest
import torch

from kdpl.__main__ import main as kdpl_main
from kdpl.clip.precision import resolve_precision
from kdpl.measuring import steps
from kdpl.measuring.random_clips import image_flops, random_clip
from kdpl.measuring.steps import StepMeasure, compare_steps, step_case, verdict
from tools.benchmark.__main__ import main as benchmark
from tools.benchmark.measures import MEASURES

FP32 = resolve_precision("fp32", torch.device("cpu"))
TINY = ("--device", "cpu", "--student", "tiny", "--teacher", "tiny", "--steps", "1", "--classes", "3", "--batch", "2")


@pytest.fixture
def compiled(monkeypatch):
    """torch.compile without its slow last stage; returns a dict whose "factor" scales the compiled loss."""
    change, compile_ = {"factor": 1.0}, torch.compile

    def fake(function, fullgraph, dynamic, mode):
        run = compile_(function, fullgraph=fullgraph, backend="eager")
        return lambda batch: {name: change["factor"] * value for name, value in run(batch).items()}

    monkeypatch.setattr(torch, "compile", fake)
    torch._dynamo.reset()
    return change


def test_the_doctor_finds_compiled_steps_right(compiled, capsys):
    assert kdpl_main(["doctor", "--gpu", *TINY]) == 0
    told = capsys.readouterr().out
    assert "plain steps" in told and "compiled steps" in told and "do not use them" not in told
    assert "verdict" in told and "TRAINER.KDPL.STEP" in told


def test_the_doctor_finds_steps_that_learn_something_else(compiled, capsys):
    compiled["factor"] = 1.1
    assert kdpl_main(["doctor", "--gpu", *TINY]) == 1
    assert "compiled steps give different prompts: do not use them" in " ".join(capsys.readouterr().out.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_doctor_says_so(capsys):
    assert kdpl_main(["doctor", "--gpu"]) == 1
    assert "torch finds no CUDA GPU; nothing was compared" in capsys.readouterr().out
    assert kdpl_main(["doctor"]) == 0
    assert torch.__version__ in capsys.readouterr().out


def test_a_failing_kind_of_step_is_reported_and_leaves_the_prompts_unchanged(monkeypatch):
    objective, batch = step_case("CoOp", "tiny", "tiny", 3, 2, torch.device("cpu"), FP32)
    before = objective.model.prompt_learner.ctx.detach().clone()
    made = steps.Training

    def training(*args, kind_of_step):
        if kind_of_step == "compiled":
            raise RuntimeError("no compiler")
        return made(*args, kind_of_step=kind_of_step)

    monkeypatch.setattr(steps, "Training", training)
    plain, failed = compare_steps(objective, batch, 1, ("plain", "compiled"))
    assert plain.is_right(FP32) and plain.seconds > 0 and failed.failure == "RuntimeError: no compiler"
    assert torch.equal(objective.model.prompt_learner.ctx, before)
    assert "compiled steps failed" in verdict([plain, failed], FP32)
    assert verdict([StepMeasure("plain", failure="x")], FP32).startswith("Plain steps failed")
    slow = StepMeasure("graph", 1.0, 0.0)
    assert "leave TRAINER.KDPL.STEP plain" in verdict([StepMeasure("plain", 1.0, 0.0), slow], FP32)


def test_random_clips_are_the_same_each_time_and_their_products_are_counted():
    one, two, other = random_clip("tiny"), random_clip("tiny"), random_clip("tiny", seed=1)
    assert one.fingerprint == two.fingerprint != other.fingerprint
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        one.model.encode_image(torch.zeros(1, 3, 64, 64))
    assert image_flops("tiny") == pytest.approx(counter.get_total_flops(), rel=0.05)


@pytest.fixture
def small_benchmark(monkeypatch):
    monkeypatch.setattr("tools.benchmark.processes.processor_seconds", lambda command: float(len(command)))
    monkeypatch.setattr("tools.benchmark.processes.METHODS", ("CoOp",))
    monkeypatch.setattr("tools.benchmark.scales.NAMES_BY_LENGTH", (900, 600))


def test_the_benchmark_measures_everything_and_its_page_is_that_of_its_file(small_benchmark, tmp_path, capsys):
    file = tmp_path / "performance.json"
    assert benchmark(["--json", str(file), *TINY]) == 0
    page = capsys.readouterr().out
    measures = json.loads(file.read_text())["measures"]
    assert list(measures) == list(MEASURES)
    whole = [row for row in measures["CoOp_KDPL against the plain implementation"] if "empty" in row["measured"]]
    assert [row["classes"] for row in whole] == [3, 6]
    assert all(row["loss difference"] < 1e-4 and row["gradient difference"] < 1e-4 for row in whole)
    (chosen,) = measures["Class-agnostic training"]
    assert chosen["tokens, ours"] <= chosen["tokens, plain"]
    # With the cache, each view goes through the teacher once: 16 small images form one group of 32, padded with zeros.
    (sweep,) = measures["A sweep over all methods"]
    assert (sweep["images through the teacher, plain"], sweep["images through the teacher, ours"]) == (64, 32)
    assert [row["classes"] for row in measures["Scaling with the number of classes"]] == [10, 100, 1000, 2000, 5000]
    assert benchmark(["--render", str(file)]) == 0
    assert capsys.readouterr().out == page and "step, both cached" in page


def test_an_interrupted_benchmark_continues_and_another_setting_starts_afresh(small_benchmark, tmp_path, capsys):
    file = tmp_path / "performance.json"

    def measured(*arguments):
        assert benchmark(["--quick", "--json", str(file), *TINY, *arguments]) == 0
        return capsys.readouterr().err.splitlines(), json.loads(file.read_text())["measures"]

    told, first = measured("--only", "start")
    assert told == ["Start-up"] and list(first) == ["Start-up"]
    told, both = measured("--only", "share")
    assert told == ["Share of peak throughput"] and both == {**both, **first} and list(both)[-1] == "Start-up"
    told, other = measured("--only", "start", "--max-tokens", "100")
    assert told == ["Start-up"] and list(other) == ["Start-up"]
