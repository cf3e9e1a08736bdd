"""Time and memory of the parts of a training run on a device: towers and steps, each measured on random images."""

import io
import math
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .clip.loaded import LoadedCLIP
from .clip.loading import load_clip
from .clip.precision import resolve_precision
from .clip.text_encoder import tokens_that_fit
from .clip.towers import TextTower
from .clip.zero_shot import ZeroShotClassifier
from .distillation.feature_source import computing_batch
from .distillation.objective import STUDENT, LabelObjective
from .distillation.optimization import build_optimizer
from .distillation.training import Training
from .measuring.memory import peak_bytes
from .measuring.pictures import picture_reader
from .measuring.timing import synchronise
from .methods import METHODS
from .prompts.prompted_clip import PromptedCLIP

CLASSES = (8, 64)  # numbers of classes for which steps are timed; time and memory are linear in this number
LEAST_SECONDS = 0.2  # minimum duration of a measurement, because other programs may be using the machine


class Tower(NamedTuple):
    """A frozen image tower, kept in memory as in training."""

    clip: ZeroShotClassifier
    seconds: float  # per image, in the groups used for training
    width: int  # of its features
    weights: int  # bytes
    activations: int  # peak bytes for a group


class StepLine(NamedTuple):
    """Time and memory of one step as linear functions of the number of classes."""

    seconds: tuple[float, float]  # constant, and per class
    activations: tuple[float, float]  # bytes stored for the backward pass
    other_bytes: int  # peak bytes in addition to these
    tokens_per_class: int
    text: TextTower

    def classes_at_once(self, memory: int) -> int:
        """Number of classes that the text tower processes without recomputation, given a device's bytes of memory."""
        return max(1, tokens_that_fit(self.text, memory) // self.tokens_per_class)


@dataclass
class Calibration:
    """Measures each kind of step and each tower once, on the target device.

    Attributes:
        load: loads a CLIP by name.
        timed: whether to measure seconds; otherwise only memory is measured.
    """

    device: torch.device
    load: Callable[[str], LoadedCLIP] = load_clip
    timed: bool = True
    _lines: dict[tuple, StepLine] = field(default_factory=dict)
    _towers: dict[tuple[str, str], Tower] = field(default_factory=dict)
    _pictures: dict[str, float] = field(default_factory=dict)

    def seconds_per_picture(self, student: str) -> float:
        """Seconds for decoding and augmenting a JPEG of typical size."""
        if student not in self._pictures:
            reader = picture_reader(self.load(student).preprocessing)
            self._pictures[student] = self._seconds(reader)
        return self._pictures[student]

    def tower(self, name: str, precision: str) -> Tower:
        """Measure a frozen image tower."""
        key = (name, precision)
        if key not in self._towers:
            with redirect_stdout(io.StringIO()):  # hides notices about precision, which training prints as well
                clip = ZeroShotClassifier(self.load(name), ["a", "b"], device=self.device, precision=precision)
            size = clip.source.preprocessing.size
            n = computing_batch(self.device, size)
            images = torch.randn(n, 3, size, size, device=self.device)
            compute = partial(clip.image_features, images)
            activations, seconds = peak_bytes(compute, self.device), self._seconds(compute) / n
            self._towers[key] = Tower(clip, seconds, clip.text_features.shape[1], clip.clip.n_bytes, activations)
        return self._towers[key]

    def line(
        self, method: str, settings: tuple[tuple[str, Any], ...], student: str, batch_size: int, precision: str
    ) -> StepLine:
        """Measure the steps of a method, without the computation in frozen towers."""
        key = (method, settings, student, batch_size, precision)
        if key not in self._lines:
            self._lines[key] = self._time_steps(*key)
        return self._lines[key]

    def _time_steps(
        self, method: str, settings: tuple[tuple[str, Any], ...], student: str, batch_size: int, precision: str
    ) -> StepLine:
        with redirect_stdout(io.StringIO()):
            precision = resolve_precision(precision, self.device)
        clip, entry = self.load(student), METHODS[method]
        steps, activations, size = [], [], clip.preprocessing.size
        for n in CLASSES:
            names = [f"class number {i}" for i in range(n)]
            learner = entry.build_learner(clip, dict(settings), n)
            model = PromptedCLIP(clip, learner, names, device=self.device, precision=precision)
            optimizer = build_optimizer(learner.parameters(), "sgd", 0.0, 0.9, 0.0)
            training = Training(LabelObjective(model), None, optimizer, None, 1)
            image = torch.randn(batch_size, 3, size, size, device=self.device)
            batch = {"img": image, "label": torch.zeros(batch_size, dtype=torch.long, device=self.device)}
            features = torch.randn(batch_size, model.clip.towers.text.embed_dim, device=self.device)
            batch[STUDENT] = torch.nn.functional.normalize(features, dim=-1)
            steps.append(partial(training.step, batch))
            activations.append(_saved_bytes(training, batch))
        other_bytes = max(0, peak_bytes(steps[-1], self.device) - activations[-1])
        tokens = model.class_tokens
        tokens_per_class = tokens.by_length[0][0] - tokens.n_start - tokens.n_ctx
        tokens_per_class *= batch_size if learner.depends_on_image else 1
        rounds = [[self._seconds(step, n=1) for step in steps] for _ in range(2)]
        seconds = [min(times) for times in zip(*rounds, strict=True)]
        towers = model.clip.towers
        return StepLine(_fit_line(seconds), _fit_line(activations), other_bytes, tokens_per_class, towers.text)

    def _seconds(self, work: Callable[[], Any], n: int = 2) -> float:
        """Shortest time of at least ``n`` runs that take at least LEAST_SECONDS together, after one warm-up run."""
        times = []
        while self.timed and (len(times) <= n or sum(times) < LEAST_SECONDS):
            start = time.perf_counter()
            work()
            synchronise(self.device)
            times.append(time.perf_counter() - start)
        return min(times[1:], default=math.nan)


def _fit_line(values: list[float]) -> tuple[float, float]:
    """Intercept and slope of the line through two measurements, neither of them negative."""
    per_class = max(0.0, (values[1] - values[0]) / (CLASSES[1] - CLASSES[0]))
    return max(0.0, values[1] - per_class * CLASSES[1]), per_class


def _saved_bytes(training: Training, batch: Mapping[str, Tensor]) -> int:
    """Bytes that a step stores for its backward pass, not counting frozen weights."""
    weights = {p.untyped_storage().data_ptr() for p in training.model.clip.model.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        terms = training.objective.terms(batch)
    del terms
    return sum(saved.values())
