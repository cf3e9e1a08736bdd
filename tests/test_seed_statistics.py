"""Numbers over seeds, worked out by hand."""

import pytest

from tools.tables.seed_statistics import Sample, expected_band, harmonic_mean_of_averages, paired_differences


def test_harmonic_mean_of_averages_by_hand():
    assert harmonic_mean_of_averages([80.0, 60.0]) == pytest.approx(2 * 80 * 60 / 140)  # 68.5714
    assert harmonic_mean_of_averages([70.0, 90.0, 50.0, 70.0]) == pytest.approx(2 * 80 * 60 / 140)
    assert harmonic_mean_of_averages([80.0, 0.0]) == 0.0


def test_spread_is_the_sample_standard_deviation_and_one_seed_has_none():
    assert Sample({1: 70.0, 2: 72.0, 3: 77.0}).mean == 73.0
    assert Sample({1: 70.0, 2: 72.0, 3: 77.0}).spread == pytest.approx((26 / 2) ** 0.5)  # 9 + 1 + 16 over n - 1
    assert Sample({1: 70.0}).spread is None


def test_differences_are_of_the_seeds_that_both_have():
    found = paired_differences({1: 70.0, 2: 72.0, 4: 90.0}, {1: 69.0, 2: 68.0, 3: 10.0})
    assert dict(found.by_seed) == {1: 1.0, 2: 4.0}


def test_the_expected_band_by_hand():
    # s = 1, n = 3: t(2) = 4.3027, times sqrt(1/3 + 1/3) = 0.8165, plus 0.055
    assert expected_band(Sample({1: 70.0, 2: 71.0, 3: 72.0})) == pytest.approx(3.5682, abs=1e-4)
    # n = 2: s = 0.7071, t(1) = 12.7062, sqrt(1/2 + 1/3) = 0.9129
    assert expected_band(Sample({1: 70.0, 2: 71.0})) == pytest.approx(8.2566, abs=1e-3)
    assert expected_band(Sample({1: 70.0})) is None
    assert expected_band(Sample({None: 62.0}), learned=False) == 0.055
