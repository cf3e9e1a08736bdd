"""Statistics over seeds: mean, spread, paired differences, and the band in which a published mean is expected."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, harmonic_mean, stdev

from scipy.stats import t as student_t

CONFIDENCE = 0.95
PUBLISHED_SEEDS = 3
PUBLISHED_ROUNDING = 0.055  # points: accuracies were rounded to 0.1 before averaging, and their mean to 0.01

Seed = int | None  # None: the single result of something that learns nothing


@dataclass(frozen=True)
class Sample:
    """Values over seeds: accuracies in percent, or differences in points."""

    by_seed: Mapping[Seed, float]

    def __bool__(self) -> bool:
        return bool(self.by_seed)

    @property
    def n(self) -> int:
        return len(self.by_seed)

    @property
    def mean(self) -> float:
        return fmean(self.by_seed.values())

    @property
    def spread(self) -> float | None:
        """Sample standard deviation (n - 1); None for a single value."""
        return stdev(self.by_seed.values()) if self.n > 1 else None


def harmonic_mean_of_averages(accuracies: Sequence[float]) -> float:
    """The harmonic mean of the averages of both halves: how published tables average over datasets."""
    half = len(accuracies) // 2
    return harmonic_mean([fmean(accuracies[:half]), fmean(accuracies[half:])])


def paired_differences(ours: Mapping[Seed, float], baseline: Mapping[Seed, float]) -> Sample:
    """Ours minus the baseline's, seed by seed; a baseline without seeds is subtracted from every seed of ours."""
    if set(baseline) == {None}:
        baseline = dict.fromkeys(ours, baseline[None])
    return Sample({seed: ours[seed] - baseline[seed] for seed in ours if seed in baseline})


def expected_band(sample: Sample, learned: bool = True) -> float | None:
    """How far the mean of ``sample`` may lie from a published mean before the difference is significant.

    Both are means over seeds. Ours has n seeds with sample standard deviation s; the published one has three, and its
    unpublished spread is assumed to equal ours. With 95 % confidence, the difference then stays below
    t(n - 1) * s * sqrt(1/n + 1/3), plus the rounding of the published value. Zero-shot results have no seeds, so only
    the rounding remains.

    Returns:
        Half the width of the band in points; None for a single seed, which has no spread.
    """
    if not learned:
        return PUBLISHED_ROUNDING
    if sample.spread is None:
        return None
    t = float(student_t.ppf((1 + CONFIDENCE) / 2, sample.n - 1))
    return PUBLISHED_ROUNDING + t * sample.spread * math.sqrt(1 / sample.n + 1 / PUBLISHED_SEEDS)
