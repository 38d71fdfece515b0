"""Folding: phases, gaps and bins do what a loop over points does, from any origin of time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.timeseries.folding import first_times, fold, largest_gap, phase_gaps, phases
from skyloom.timeseries.lightcurves import BandLightCurves


def curves_of(rows, bands=("b", "r")):
    """Light curves from one list of (mjd, flux, flux_err) arrays per row and band."""
    segments = [rows[i][b] for b in range(len(bands)) for i in range(len(rows))]
    columns = [np.concatenate([np.asarray(s[k], float) for s in segments]) for k in range(3)]
    offsets = np.concatenate([[0], np.cumsum([len(s[0]) for s in segments])])
    return BandLightCurves(offsets, *columns, bands=bands, rows=len(rows))


def star(rng, points, *, begin=0.0):
    mjd = np.sort(rng.uniform(begin, begin + 50.0, points))
    return mjd, rng.normal(18.0, 1.0, points), rng.uniform(0.05, 0.2, points)


@pytest.fixture
def curves():
    rng = np.random.default_rng(3)
    return curves_of([[star(rng, n), star(rng, m)] for n, m in [(30, 12), (5, 0), (0, 1), (80, 80)]])


PERIOD = np.array([0.7, 3.1, 1.0, 0.25])


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e3))
def test_a_phase_is_at_least_zero_and_less_than_one(mjd, period):
    phase = phases(np.array([mjd]), period)
    assert 0.0 <= phase[0] < 1.0


def test_whole_periods_later_the_phase_is_the_same():
    mjd = np.linspace(0.0, 5.0, 101)
    around = np.abs(phases(mjd + 1000 * 0.625, 0.625) - phases(mjd, 0.625))
    assert np.minimum(around, 1 - around).max() < 1e-10


@given(st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=30))
def test_gaps_between_phases_add_to_one_and_are_not_negative(values):
    gaps = phase_gaps(np.sort(values))
    assert_allclose(gaps.sum(), 1.0, atol=1e-12)
    assert (gaps >= 0).all()


def test_the_largest_gap_is_the_largest_of_all_gaps(curves):
    found = largest_gap(curves, PERIOD)
    for row in range(4):
        mjd = np.concatenate([curves.mjd[slice(*curves.offsets[b * 4 + row :][:2])] for b in range(2)])
        gaps = phase_gaps(np.sort(phases(mjd - mjd.min(), PERIOD[row])))
        assert_allclose(found[row], gaps.max(), atol=1e-12)
    assert found[2] == 1.0


def test_a_light_curve_without_points_has_no_gap_and_no_first_time():
    empty = curves_of([[star(np.random.default_rng(0), 0)] * 2])
    assert np.isnan(largest_gap(empty, np.array([1.0]))).all()
    assert np.isnan(first_times(empty)).all()


def slow_fold(curves, row, period, bins):
    """One row, point by point."""
    segments = [slice(*curves.offsets[b * curves.rows + row :][:2]) for b in range(len(curves.bands))]
    t0 = min(curves.mjd[s].min() for s in segments if s.stop > s.start)
    means, residuals, weights = [], [], []
    for s in segments:
        w = 1 / curves.flux_err[s] ** 2
        means.append(np.average(curves.flux[s], weights=w) if len(w) else 0.0)
        residuals += list((curves.flux[s] - means[-1]) ** 2)
        weights += list(w)
    scatter = np.sqrt(np.average(residuals, weights=weights))
    value, trust = np.zeros((len(segments), bins)), np.zeros((len(segments), bins))
    for b, s in enumerate(segments):
        place = np.minimum((phases(curves.mjd[s] - t0, period) * bins).astype(int), bins - 1)
        there = {}
        for k in np.unique(place):
            w = 1 / curves.flux_err[s][place == k] ** 2
            there[k] = (np.average(curves.flux[s][place == k], weights=w) - means[b]) / scatter
            trust[b, k] = 1 / (1 + 1 / (w.sum() * scatter**2))
        if there:
            known = np.array(sorted(there))
            around = np.concatenate([known - bins, known, known + bins])
            value[b] = np.interp(np.arange(bins), around, np.tile([there[k] for k in known], 3))
    return value, trust


@pytest.mark.parametrize("bins", [1, 7, 64])
def test_bins_agree_with_a_loop_over_points(curves, bins):
    folded = fold(curves, PERIOD, bins)
    for row in (0, 1, 3):
        value, trust = slow_fold(curves, row, PERIOD[row], bins)
        assert_allclose(folded.value[row], value, atol=2e-6)
        assert_allclose(folded.trust[row], trust, atol=2e-6)


def test_one_point_has_no_scatter_and_an_empty_passband_is_zero(curves):
    folded = fold(curves, PERIOD, 16)
    assert not folded.value[2].any()
    assert not folded.trust[2].any()
    assert not folded.value[1, 1].any()
    assert not folded.trust[1, 1].any()


def test_another_origin_of_time_changes_nothing(curves):
    moved = dataclasses.replace(curves, mjd=curves.mjd + 1000.0)
    one, other = fold(curves, PERIOD, 16), fold(moved, PERIOD, 16)
    assert_allclose(other.value, one.value, atol=1e-5)
    assert_allclose(other.trust, one.trust, atol=1e-5)


def test_a_later_first_point_by_whole_bins_turns_the_bins():
    # Times on the middle of bins, so that rounding moves no point into its neighbour.
    rng = np.random.default_rng(1)
    cycle, place = rng.integers(0, 50, 200), rng.integers(0, 16, 200)
    flux, period = rng.normal(0, 1, 200), 0.8
    first = {}
    for turn in (0, 5):
        mjd = period * (cycle + (place + turn) / 16.0 + 1 / 64)
        order = np.argsort(mjd, kind="stable")
        begin = np.concatenate([[0.0], mjd[order]])  # a point at time 0, far too uncertain to count
        curve = (begin, np.concatenate([[0.0], flux[order]]), np.concatenate([[1e9], np.full(200, 0.1)]))
        first[turn] = fold(curves_of([[curve]], ("r",)), np.array([period]), 16).value[0, 0]
    assert_allclose(first[5], np.roll(first[0], 5), atol=1e-5)


def test_a_row_does_not_depend_on_the_rows_beside_it(curves):
    whole = fold(curves, PERIOD, 16)
    for row in range(4):
        segments = [slice(*curves.offsets[b * 4 + row :][:2]) for b in range(2)]
        alone = curves_of([[(curves.mjd[s], curves.flux[s], curves.flux_err[s]) for s in segments]])
        assert np.array_equal(fold(alone, PERIOD[row : row + 1], 16).value[0], whole.value[row])


def test_what_cannot_be_folded_is_refused(curves):
    with pytest.raises(SpecError, match="at least one bin"):
        fold(curves, PERIOD, 0)
    with pytest.raises(SpecError, match="positive and finite"):
        fold(curves, np.array([1.0, np.nan, 1.0, 1.0]), 8)
