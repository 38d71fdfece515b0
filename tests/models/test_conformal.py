"""Sets and intervals hold the truth as often as they say, by nothing but counting ranks."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skyloom.errors import SpecError
from skyloom.models.conformal import (
    interval_columns,
    interval_half_width,
    intervals,
    prediction_sets,
    set_names,
    set_threshold,
)

shares = st.sampled_from([0.05, 0.25, 0.5, 0.68, 0.8, 0.9, 0.95, 0.99])
scores = arrays(np.float64, st.integers(0, 60), elements=st.floats(0, 1))


def slow_threshold(p_true, coverage):
    """The greatest probability seen that leaves enough of the n + 1 ranks at or above it."""
    least_above = Fraction(str(coverage)) * (len(p_true) + 1)
    ordered = sorted(p_true)
    fits = [ordered[k] for k in range(len(ordered)) if len(ordered) + 1 - (k + 1) >= least_above]
    return max(fits, default=0.0)


def slow_half_width(distance, coverage):
    """The least distance seen that has enough of the n + 1 ranks at or below it."""
    needed = Fraction(str(coverage)) * (len(distance) + 1)
    return min((d for d in distance if sum(x <= d for x in distance) >= needed), default=math.inf)


@given(scores, shares)
def test_the_threshold_is_that_of_a_count_by_hand(p, coverage):
    assert set_threshold(p, coverage) == slow_threshold(p.tolist(), coverage)


@given(scores, shares)
def test_the_half_width_is_that_of_a_count_by_hand(distance, coverage):
    assert interval_half_width(distance, coverage) == slow_half_width(distance.tolist(), coverage)


@pytest.mark.parametrize("n", [9, 19, 99])
def test_ranks_are_exact_where_the_coverage_has_no_exact_binary_form(n):
    p = np.arange(1, n + 1) / (n + 1)
    assert set_threshold(p, 0.9) == p[(n + 1) // 10 - 1]
    assert interval_half_width(p, 0.9) == p[9 * (n + 1) // 10 - 1]


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (50, 0.9), (200, 0.8)])
def test_sets_hold_the_true_class_as_often_as_promised_over_many_draws(n, coverage):
    # Sure of nothing about the model: its probabilities are of another truth than the one drawn.
    rng = np.random.default_rng(n)
    draws, held = 4000, 0
    for _ in range(draws):
        p = rng.dirichlet([0.6, 0.6, 0.6, 0.6], n + 1)
        truth = (rng.random((n + 1, 1)) > np.cumsum(p**0.5 / (p**0.5).sum(axis=1, keepdims=True), axis=1)).sum(
            axis=1
        )
        own = p[np.arange(n + 1), np.minimum(truth, 3)]
        held += own[-1] >= set_threshold(own[:-1], coverage)
    spread = 4 * math.sqrt(coverage * (1 - coverage) / draws)
    assert coverage - spread <= held / draws <= coverage + 1 / (n + 1) + spread


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (100, 0.68)])
def test_intervals_hold_the_truth_as_often_as_promised_over_many_draws(n, coverage):
    rng = np.random.default_rng(n)
    draws = 4000
    distance = np.abs(rng.standard_cauchy((draws, n + 1)))  # no moments at all
    held = np.mean([each[-1] <= interval_half_width(each[:-1], coverage) for each in distance])
    spread = 4 * math.sqrt(coverage * (1 - coverage) / draws)
    assert coverage - spread <= held <= coverage + 1 / (n + 1) + spread


def test_intervals_hold_the_truth_as_often_as_promised_and_follow_the_spread():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 3.0, 6000)
    prediction = rng.normal(0.0, 5.0, 6000)
    truth = prediction + spread * rng.standard_t(3, 6000)
    half = interval_half_width(np.abs(truth - prediction)[:2000] / spread[:2000], 0.9)
    low, high = intervals(prediction[2000:], half, spread[2000:])
    inside = (low <= truth[2000:]) & (truth[2000:] <= high)
    assert abs(inside.mean() - 0.9) < 0.02
    for group in (spread[2000:] < 1.0, spread[2000:] > 2.0):
        assert abs(inside[group].mean() - 0.9) < 0.03
    alike = intervals(prediction, 2.0)
    np.testing.assert_allclose(alike[1] - alike[0], 4.0, atol=1e-4)


def test_the_columns_of_an_interval_are_named_after_the_prediction():
    low, high = interval_columns("z_phot", "", "the redshift", "src.redshift.phot")
    assert (low.name, high.name) == ("z_phot_lo90", "z_phot_hi90")
    assert low.ucd.startswith("stat.min;src.redshift")
    assert "90 %" in high.description


@given(arrays(np.float64, (7, 4), elements=st.floats(0, 1)), st.floats(0, 1.5), st.floats(0, 1.5))
def test_sets_are_never_empty_and_only_shrink_as_the_threshold_rises(p, a, b):
    low, high = sorted((a, b))
    large, small = prediction_sets(p, low), prediction_sets(p, high)
    assert small.any(axis=1).all()
    assert (large | ~small).all()
    assert small[np.arange(7), p.argmax(axis=1)].all()
    assert (large[p >= low]).all()


@given(scores, shares, shares)
def test_more_coverage_never_makes_a_set_or_an_interval_smaller(p, a, b):
    low, high = sorted((a, b))
    assert set_threshold(p, high) <= set_threshold(p, low)
    assert interval_half_width(p, low) <= interval_half_width(p, high)


@given(scores, shares, st.randoms(use_true_random=False))
def test_the_order_of_the_calibration_rows_says_nothing(p, coverage, random):
    shuffled = p.tolist()
    random.shuffle(shuffled)
    assert set_threshold(np.array(shuffled), coverage) == set_threshold(p, coverage)
    assert interval_half_width(np.array(shuffled), coverage) == interval_half_width(p, coverage)


def test_too_few_rows_for_a_coverage_promise_nothing_smaller_than_everything():
    few = np.array([0.2, 0.7, 0.9])
    threshold = set_threshold(few, 0.9)
    assert prediction_sets(np.array([[1.0, 0.0, 0.0]]), threshold).all()
    assert interval_half_width(few, 0.9) == math.inf


def test_sets_are_named_in_the_order_of_the_classes():
    inside = np.array([[True, False, True], [False, True, False]])
    assert set_names(inside, ("disk", "neither", "bulge")).tolist() == ["disk|bulge", "neither"]
    assert set_names(inside[:0], ("disk", "neither", "bulge")).shape == (0,)


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 90.0, float("nan")])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    for made in (set_threshold, interval_half_width):
        with pytest.raises(SpecError, match="coverage"):
            made(np.ones(5), coverage)


def test_nan_scores_are_refused_not_sorted_to_the_end():
    for made in (set_threshold, interval_half_width):
        with pytest.raises(SpecError, match="1 of 3"):
            made(np.array([0.1, np.nan, 0.3]), 0.9)
