"""Predicting time, memory and disk space of a training run from a few seconds of the real computation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from .calibration import Calibration, StepLine, Tower
from .clip.device import memory_status, n_cores, total_memory
from .clip.loaded import LoadedCLIP
from .clip.loading import load_clip
from .clip.text_encoder import PARTS
from .distillation.teacher import teacher_names
from .methods import METHODS

FORWARD_SHARE = 1 / 3  # fraction of a text step spent in the forward pass, which recomputation repeats
BYTES_PER_KEY = 40  # overhead of a cached feature


class Workload(NamedTuple):
    """Everything that determines the costs of a training run and its evaluations.

    Attributes:
        method: empty for zero-shot classifiers.
        teacher: empty for training with labels.
        n_classes: number of classes per step: the dataset's, or those that class-agnostic training keeps.
        n_images, n_test: number of training images per epoch; number of test images.
        epochs: 0 for an evaluation only.
        views: number of different views of each image over the whole training.
        cache_bytes: bytes per cached number, 2 or 4; 0 without a cache.
        images, tested_on: identify training and test images among workloads that share a cache.
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
    """The predicted costs of a workload.

    Attributes:
        first_epoch: seconds for an epoch in which all frozen features have to be computed.
        later_epoch: seconds for an epoch whose frozen features are known.
        total: seconds, including evaluations.
        memory: peak in bytes, of GPU memory or of the whole process.
        disk: bytes in the feature cache.
        in_chunks: whether the text tower processes the classes in chunks, some of which are recomputed.
    """

    first_epoch: float
    later_epoch: float
    total: float
    memory: int
    disk: int
    in_chunks: bool


class Planner:
    """Forecasts for workloads that run one after the other on one device."""

    def __init__(self, device: torch.device, load: Callable[[str], LoadedCLIP] = load_clip, timed: bool = True):
        """
        Args:
            load, timed: see :class:`Calibration`.
        """
        self.measured = Calibration(device, load, timed)
        self.memory, self._process = total_memory(device), memory_status("VmRSS") if device.type == "cpu" else 0
        self._cached: dict[tuple, int] = {}  # views that a shared cache already has

    def forecast(self, work: Workload) -> Forecast:
        """Predict the costs of the next workload; features that earlier workloads have cached cost nothing."""
        student = self.measured.tower(work.student, work.precision)
        test = self._test_seconds(work, student)
        memory = self._process + self.beside_the_process(work, self.memory)
        if not work.epochs:
            return Forecast(0.0, 0.0, test, memory, 0, False)
        line, towers = self._line(work), self._frozen_towers(work)
        at_once = self.classes_at_once(work, self.memory)
        seconds_per_view = sum(tower.seconds for tower in towers)
        bytes_per_view = sum(tower.width for tower in towers) * work.cache_bytes + BYTES_PER_KEY

        n_recomputed = work.n_classes - (1 - 1 / PARTS) * at_once if work.n_classes > at_once else 0
        step = line.seconds[0] + line.seconds[1] * (work.n_classes + FORWARD_SHARE * n_recomputed)
        n_steps = max(1, work.n_images // work.batch_size)
        n_images = min(work.n_images, n_steps * work.batch_size)  # an incomplete batch is dropped
        steps = n_steps * step
        decoding = n_images * self.measured.seconds_per_picture(work.student)
        reads_images = METHODS[work.method].learner.learns_visual
        known = steps + (self._waiting(decoding, steps, work) if reads_images else 0.0)
        computing = steps + n_images * seconds_per_view
        new = computing + self._waiting(decoding, computing, work)
        n_new = self._new_views(work)
        return Forecast(
            first_epoch=new,
            later_epoch=known,
            total=n_new * new + (work.epochs - n_new) * known + test,
            memory=memory,
            disk=n_new * n_images * bytes_per_view if work.cache_bytes else 0,
            in_chunks=n_recomputed > 0,
        )

    def beside_the_process(self, work: Workload, memory: int, larger_groups: float = 1.0) -> int:
        """Peak bytes of a workload: all weights, and the largest activations, since towers and steps take turns.

        Args:
            memory: memory of the device in bytes.
            larger_groups: size of the groups that frozen towers process there, relative to this device.
        """
        towers = {self.measured.tower(work.student, work.precision), *self._frozen_towers(work)}
        activations = [tower.activations * larger_groups for tower in towers]
        if work.epochs:
            line = self._line(work)
            n_classes = self.classes_at_once(work, memory)
            activations.append(line.other_bytes + line.activations[0] + line.activations[1] * n_classes)
        return sum(tower.weights for tower in towers) + int(max(activations))

    def classes_at_once(self, work: Workload, memory: int) -> int:
        """Number of classes that the text tower processes without recomputation, given a device's bytes of memory."""
        learns_text = METHODS[work.method].learner.learns_text
        return min(work.n_classes, self._line(work).classes_at_once(memory)) if learns_text else work.n_classes

    def _line(self, work: Workload) -> StepLine:
        return self.measured.line(work.method, work.settings, work.student, work.batch_size, work.precision)

    def _frozen_towers(self, work: Workload) -> list[Tower]:
        """The towers that compute features for training steps."""
        if not work.epochs:
            return []
        names = teacher_names(work.teacher) if work.teacher else []
        towers = [self.measured.tower(name, work.teacher_precision) for name in names]
        method = METHODS[work.method]
        if not method.learner.learns_visual or (method.regulariser and method.regulariser.reads_frozen_image):
            towers.append(self.measured.tower(work.student, work.precision))
        return towers

    def _test_seconds(self, work: Workload, student: Tower) -> float:
        """Seconds for a pass over the test images; 0 if their features are already cached."""
        frozen = not work.method or not METHODS[work.method].learner.learns_visual
        kind = ("test", work.tested_on, work.student, work.precision)
        if frozen and work.cache_bytes and self._cached.get(kind, 0):
            return 0.0
        self._cached[kind] = int(frozen)
        picture = self.measured.seconds_per_picture(work.student) / max(1, work.n_workers)
        return work.n_test * (student.seconds + picture)

    def _new_views(self, work: Workload) -> int:
        """Number of epochs whose frozen features are not yet known."""
        if not work.cache_bytes:
            return min(work.views, work.epochs)
        kind = (work.images, work.student, work.teacher, work.precision, work.teacher_precision)
        before = self._cached.get(kind, 0)
        self._cached[kind] = max(before, work.views)
        return max(0, min(work.views, work.epochs) - before)

    def _waiting(self, decoding: float, computing: float, work: Workload) -> float:
        """Seconds per epoch that steps wait for images."""
        return decoding if work.n_workers == 0 else max(0.0, decoding / min(work.n_workers, n_cores()) - computing)


def in_words(forecasts: Iterable[tuple[str, Forecast]]) -> str:
    """A table with one line per workload, and the total."""
    lines = [f"{'first epoch':>12} {'later epochs':>12} {'total':>12} {'memory':>9} {'cache':>9}  run"]
    total, disk = 0.0, 0
    for what, forecast in forecasts:
        total, disk = total + forecast.total, disk + forecast.disk
        chunks = ", text in chunks" * forecast.in_chunks
        lines.append(
            f"{duration(forecast.first_epoch):>12} {duration(forecast.later_epoch):>12} {duration(forecast.total):>12} "
            f"{forecast.memory / 1e9:>6.1f} GB {forecast.disk / 1e9:>6.2f} GB  {what}{chunks}"
        )
    return "\n".join([*lines, f"total: {duration(total)}, {disk / 1e9:.2f} GB of cached features"])


def duration(seconds: float) -> str:
    """A duration such as 1 h 05 min.

    >>> duration(3900), duration(75), duration(2.34)
    ('1 h 05 min', '1 min 15 s', '2.3 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
