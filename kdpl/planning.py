"""What a training will take: time, memory and disk, extrapolated from a few seconds of the real computation."""

import io
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .clip.device import n_cores, peak_memory, reset_peak_memory
from .clip.loading import load_clip
from .clip.precision import resolve_precision
from .clip.zero_shot import ZeroShotClassifier
from .distillation.feature_source import FeatureSource
from .distillation.objective import STUDENT, LabelObjective
from .distillation.optimization import build_optimizer
from .distillation.teacher import teacher_names
from .distillation.training import Training
from .measuring.pictures import picture_reader
from .methods import METHODS
from .prompts.prompted_clip import PromptedCLIP

CLASSES = (8, 64)  # the steps that are timed; time and memory are straight lines in the number of classes
LEAST_SECONDS = 0.2  # of measuring one kind of work: others may use the machine, too
BYTES_OF_A_KEY = 40  # of a cached feature, beside its numbers


class Workload(NamedTuple):
    """A training and its evaluations, as far as its costs depend on it.

    Attributes:
        method: empty of zero-shot classifiers.
        teacher: empty where labels are learned from.
        n_classes: in a step: of the dataset, or those that class-agnostic training keeps.
        n_images, n_test: for training in an epoch; for the evaluation.
        epochs: 0 of an evaluation alone.
        views: features of each image over the training.
        cache_bytes: of a cached number, 2 or 4; 0 without a cache.
        images, tested_on: what tells training and test images from those of other workloads that share a cache.
    """

    method: str
    settings: tuple[tuple[str, Any], ...]
    student: str
    teacher: str
    n_classes: int
    batch_size: int
    n_images: int
    n_test: int
    epochs: int
    views: int
    precision: str = "fp32"
    teacher_precision: str = "fp32"
    n_workers: int = 0
    cache_bytes: int = 0
    images: str = ""
    tested_on: str = ""


@dataclass
class Forecast:
    """What a workload takes.

    Attributes:
        first_epoch: seconds, where all frozen features have to be computed.
        later_epoch: seconds of an epoch whose features are known.
        total: seconds, evaluations included.
        memory: bytes at the peak, of the card or of the whole process.
        disk: bytes of a cache for it.
        in_chunks: whether the text tower takes the classes in parts, recomputed in the backward pass.
    """

    first_epoch: float
    later_epoch: float
    total: float
    memory: int
    disk: int
    in_chunks: bool


class _Tower(NamedTuple):
    """A frozen image tower, kept as trainings keep theirs."""

    clip: ZeroShotClassifier
    seconds: float  # per image, in groups as trainings compute them
    width: int  # of its features
    peak: int  # bytes


class _Line(NamedTuple):
    """Of one step: seconds and bytes as straight lines in the number of classes."""

    seconds: tuple[float, float]  # at no class, and per class
    activations: tuple[float, float]
    peak: int  # bytes, with the larger number of classes
    classes_at_once: int


@dataclass
class Planner:
    """Times each kind of step and each tower once, on the device that is planned for."""

    device: torch.device
    _lines: dict[tuple, _Line] = field(default_factory=dict)
    _towers: dict[tuple[str, str], _Tower] = field(default_factory=dict)
    _pictures: dict[str, float] = field(default_factory=dict)
    _cached: dict[tuple, int] = field(default_factory=dict)  # views that a shared cache has by then

    def forecast(self, work: Workload) -> Forecast:
        """The costs of one more workload; features that an earlier one has brought into the cache cost nothing."""
        student = self._tower(work.student, work.precision)
        test = self._test_seconds(work, student)
        if not work.epochs:
            return Forecast(0.0, 0.0, test, student.peak, 0, False)
        teachers = teacher_names(work.teacher) if work.teacher else []
        towers = [self._tower(name, work.teacher_precision) for name in teachers]
        method = METHODS[work.method]
        reads_images = method.learner.learns_visual
        if not reads_images or (method.regulariser and method.regulariser.reads_frozen_image):
            towers.append(student)
        line = self._line(work)
        step = line.seconds[0] + line.seconds[1] * work.n_classes
        seconds_a_view = sum(tower.seconds for tower in towers)
        bytes_a_view = sum(tower.width for tower in towers) * work.cache_bytes + BYTES_OF_A_KEY

        steps = max(1, work.n_images // work.batch_size) * step
        decoding = work.n_images * self._seconds_a_picture(work.student)
        known = steps + (self._waiting(decoding, steps, work) if reads_images else 0.0)
        computing = steps + work.n_images * seconds_a_view
        new = computing + self._waiting(decoding, computing, work)
        n_new = self._new_views(work)
        used = min(work.n_classes, line.classes_at_once)
        memory = line.peak + max(0.0, line.activations[1] * (used - CLASSES[-1]))
        return Forecast(
            first_epoch=new,
            later_epoch=known,
            total=n_new * new + (work.epochs - n_new) * known + test,
            memory=int(max([memory, *(tower.peak for tower in towers)])),
            disk=n_new * work.n_images * bytes_a_view if work.cache_bytes else 0,
            in_chunks=work.n_classes > line.classes_at_once,
        )

    def _test_seconds(self, work: Workload, student: _Tower) -> float:
        """Of a pass over the test images; nothing where the cache has their features by then."""
        frozen = not work.method or not METHODS[work.method].learner.learns_visual
        kind = ("test", work.tested_on, work.student, work.precision)
        if frozen and work.cache_bytes and self._cached.get(kind, 0):
            return 0.0
        self._cached[kind] = int(frozen)
        return work.n_test * (student.seconds + self._seconds_a_picture(work.student) / max(1, work.n_workers))

    def _new_views(self, work: Workload) -> int:
        """The epochs whose frozen features are not known by then."""
        if not work.cache_bytes:
            return min(work.views, work.epochs)
        kind = (work.images, work.student, work.teacher, work.precision, work.teacher_precision)
        before = self._cached.get(kind, 0)
        self._cached[kind] = max(before, work.views)
        return max(0, min(work.views, work.epochs) - before)

    def _waiting(self, decoding: float, computing: float, work: Workload) -> float:
        """Seconds of an epoch in which steps wait for pictures."""
        return decoding if work.n_workers == 0 else max(0.0, decoding / min(work.n_workers, n_cores()) - computing)

    def _seconds_a_picture(self, student: str) -> float:
        """Decoding and augmenting a JPEG of usual size."""
        if student not in self._pictures:
            reader = picture_reader(load_clip(student).preprocessing)
            self._pictures[student] = _seconds(reader, self.device)
        return self._pictures[student]

    def _tower(self, name: str, precision: str) -> _Tower:
        key = (name, precision)
        if key not in self._towers:
            reset_peak_memory()
            with redirect_stdout(io.StringIO()):  # of precisions: the trainings tell as well
                clip = ZeroShotClassifier(load_clip(name), ["a", "b"], device=self.device, precision=precision)
            n, size = FeatureSource({}, self.device).computing_batch, clip.source.preprocessing.size
            images = torch.randn(n, 3, size, size, device=self.device)
            seconds = _seconds(lambda: clip.image_features(images), self.device) / n
            self._towers[key] = _Tower(clip, seconds, clip.text_features.shape[1], peak_memory())
        return self._towers[key]

    def _line(self, work: Workload) -> _Line:
        key = (work.method, work.settings, work.student, work.batch_size, work.precision)
        if key not in self._lines:
            self._lines[key] = self._time_steps(work)
        return self._lines[key]

    def _time_steps(self, work: Workload) -> _Line:
        with redirect_stdout(io.StringIO()):
            precision = resolve_precision(work.precision, self.device)
        clip, method, settings = load_clip(work.student), METHODS[work.method], dict(work.settings)
        reset_peak_memory()
        steps, activations, size = [], [], clip.preprocessing.size
        for n in CLASSES:
            names = [f"class number {i}" for i in range(n)]
            learner = method.build_learner(clip, settings, n)
            model = PromptedCLIP(clip, learner, names, device=self.device, precision=precision)
            optimizer = build_optimizer(learner.parameters(), "sgd", 0.0, 0.9, 0.0)
            training = Training(LabelObjective(model), None, optimizer, None, 1)
            image = torch.randn(work.batch_size, 3, size, size, device=self.device)
            batch = {"img": image, "label": torch.zeros(work.batch_size, dtype=torch.long, device=self.device)}
            features = torch.randn(work.batch_size, model.clip.towers.text.embed_dim, device=self.device)
            batch[STUDENT] = torch.nn.functional.normalize(features, dim=-1)
            steps.append(partial(training.step, batch))
            activations.append(_saved_bytes(training, batch))
        tokens_of_a_class = model.class_tokens.by_length[0][0] * (work.batch_size if learner.depends_on_image else 1)
        at_once = max(1, model.text_encoder.max_tokens // tokens_of_a_class)
        rounds = [[_seconds(step, self.device, n=1) for step in steps] for _ in range(2)]
        fewest = [min(found) for found in zip(*rounds, strict=True)]
        return _Line(_straight(fewest), _straight(activations), peak_memory(), at_once)


def _straight(values: list[float]) -> tuple[float, float]:
    """Value at no class, and per class, of a line that does not fall."""
    per_class = max(0.0, (values[1] - values[0]) / (CLASSES[1] - CLASSES[0]))
    return max(0.0, values[1] - per_class * CLASSES[1]), per_class


def _seconds(work: Callable[[], Any], device: torch.device, n: int = 2) -> float:
    """The shortest of ``n`` times, or of as many as go into LEAST_SECONDS, after one to warm up."""
    found = []
    while len(found) <= n or sum(found) < LEAST_SECONDS:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - start)
    return min(found[1:])


def _saved_bytes(training: Training, batch: Mapping[str, Tensor]) -> int:
    """What a step keeps for its backward pass, besides the frozen weights."""
    weights = {p.untyped_storage().data_ptr() for p in training.model.clip.model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        terms = training.objective.terms(batch)
    del terms
    return sum(kept.values())


def in_words(forecasts: Iterable[tuple[str, Forecast]]) -> str:
    """A table with one line per workload, and the sum."""
    lines = [f"{'first epoch':>12} {'later ones':>12} {'in total':>12} {'memory':>9} {'cache':>9}  what"]
    total, disk = 0.0, 0
    for what, forecast in forecasts:
        total, disk = total + forecast.total, disk + forecast.disk
        chunks = ", text in chunks" * forecast.in_chunks
        lines.append(
            f"{duration(forecast.first_epoch):>12} {duration(forecast.later_epoch):>12} {duration(forecast.total):>12} "
            f"{forecast.memory / 1e9:>6.1f} GB {forecast.disk / 1e9:>6.2f} GB  {what}{chunks}"
        )
    return "\n".join([*lines, f"{duration(total)} in all, {disk / 1e9:.2f} GB of features"])


def duration(seconds: float) -> str:
    """A duration such as 1 h 05 min.

    >>> duration(3900), duration(75), duration(2.34)
    ('1 h 05 min', '1 min 15 s', '2.3 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
