"""Shift statistics: zero where nothing differs, and what chance does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, wasserstein_distance

from skyloom.errors import SpecError
from skyloom.evaluation.row_samples import RowSample
from skyloom.evaluation.shift import mmd2, permutation_test, shift_between, wasserstein1


def normal(n, d=3, *, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift * (np.arange(d) == 0)


def test_the_p_value_is_uniform_where_nothing_differs():
    p = [permutation_test(normal(24, seed=2 * k), normal(24, seed=2 * k + 1), seed=k, permutations=99)[1]
         for k in range(200)]  # fmt: skip
    jitter = np.random.default_rng(0).uniform(0, 0.01, 200)  # p-values are whole hundredths
    assert kstest(np.array(p) - jitter, "uniform").pvalue > 0.01


def test_a_planted_shift_of_half_a_deviation_is_detected_in_its_feature():
    found = shift_between(normal(500, shift=0.5, seed=1), normal(500, seed=2))
    assert found.p < 0.01
    assert found.alarm
    assert_allclose(found.w1[0], 0.5, atol=0.1)
    assert max(found.w1[1:]) < 0.2
    assert not shift_between(normal(500, seed=3), normal(500, seed=4)).alarm


def test_the_discrepancy_agrees_with_the_sums_written_out():
    a, b = normal(9, seed=5), normal(7, shift=1.0, seed=6)
    rows = np.vstack([a, b])
    kernel = np.exp(-((rows[:, None] - rows[None]) ** 2).sum(axis=2))
    xx = [kernel[i, j] for i in range(9) for j in range(9) if i != j]
    yy = [kernel[i, j] for i in range(9, 16) for j in range(9, 16) if i != j]
    xy = [kernel[i, j] for i in range(9) for j in range(9, 16)]
    assert_allclose(mmd2(kernel, np.arange(16) < 9), np.mean(xx) + np.mean(yy) - 2 * np.mean(xy), rtol=1e-12)


def test_the_wasserstein_distance_is_scipys_and_nan_is_left_out():
    a, b = normal(50, 1, seed=7)[:, 0], normal(80, 1, shift=1.0, seed=8)[:, 0]
    assert_allclose(wasserstein1(a, b), wasserstein_distance(a, b), rtol=1e-12)
    assert_allclose(wasserstein1(np.append(a, np.nan), b), wasserstein1(a, b))
    assert wasserstein1(a, a) == 0.0
    assert np.isnan(wasserstein1(a[:0], b))


def test_units_do_not_matter():
    a, b = normal(100, shift=0.3, seed=9), normal(200, seed=10)
    scale, zero = np.array([1e3, 1e-3, 5.0]), np.array([7.0, -2.0, 0.0])
    one, other = shift_between(a, b), shift_between(a * scale + zero, b * scale + zero)
    assert_allclose([other.mmd2, other.p, *other.w1], [one.mmd2, one.p, *one.w1], rtol=1e-6)


def test_too_few_rows_say_nothing_and_other_features_are_refused():
    few = shift_between(normal(15), normal(100))
    assert few.n == 15
    assert np.isnan([few.mmd2, few.p, few.auc, *few.w1]).all()
    assert not few.alarm
    with pytest.raises(SpecError, match="same features"):
        shift_between(normal(20), normal(20, d=2))


def test_a_sample_is_the_same_however_rows_are_dealt_out():
    rng = np.random.default_rng(11)
    key, rows = rng.integers(0, 1 << 60, 1000), rng.normal(size=(1000, 2))
    whole = RowSample.of(key, rows, key, most=64)
    order = rng.permutation(1000)
    merged = None
    for part in np.array_split(order, 7):
        one = RowSample.of(key[part], rows[part], key[part], most=64)
        merged = one if merged is None else merged.merged(one, most=64)
    assert merged.n == whole.n == 1000
    assert len(merged.rows) == 64
    assert_array_equal(merged.rows, whole.rows)
    assert_array_equal(merged.place, whole.place)


def test_a_sample_is_fair():
    key = np.arange(20000)
    kept = RowSample.of(key, key[:, None].astype(float), key, most=2000)
    assert kstest(kept.rows[:, 0] / 20000, "uniform").pvalue > 0.001
