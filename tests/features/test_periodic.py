"""Numbers about periodic variables: independent of phase origin and neighbours, and what they say they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.features.period_peaks import PROFILE_D
from skyloom.features.periodic import compute, names_of
from skyloom.features.periods import PeriodSettings, find_periods
from tests.features.test_periods import skewed, variable
from tests.timeseries.test_folding import curves_of

SETTINGS = PeriodSettings(shortest_d=0.2)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return [[variable(rng, p, shape=skewed, noise=0.02) for _ in range(2)] for p in (0.61, 0.37, 12.0)]


def table(curves):
    values = compute(curves, find_periods(curves, SETTINGS))
    return dict(zip(names_of(curves.bands), values.T, strict=True))


def test_numbers_are_those_of_the_series_put_in(rows):
    found = table(curves_of(rows))
    assert_allclose(10 ** found["log_period"], [0.61, 0.37, 12.0], rtol=1e-3)
    assert_allclose(10 ** found["log_amplitude_b"], 1.0, atol=0.05)
    assert_allclose(10 ** found["log_ratio_21"], 0.5, atol=0.05)
    # sin x + 0.5 sin(2 x + 1): the second harmonic leads twice the first by 1 rad, less the sines' own quarters.
    angle = np.arctan2(found["sin_phase_21"], found["cos_phase_21"])
    assert_allclose(np.cos(angle - angle[0]), 1.0, atol=0.02)
    assert_allclose(found["mean_b"], 18.0, atol=0.2)
    assert_allclose(found["color_b_r"], found["mean_b"] - found["mean_r"], atol=1e-5)


def test_another_origin_of_time_changes_nothing(rows):
    curves = curves_of(rows)
    moved = dataclasses.replace(curves, mjd=curves.mjd + 123.456)
    one, other = table(curves), table(moved)
    for name in one:
        assert_allclose(other[name], one[name], atol=2e-3, err_msg=name)


def test_a_row_does_not_depend_on_the_rows_beside_it(rows):
    whole = table(curves_of(rows))
    for k, row in enumerate(rows):
        alone = table(curves_of([row]))
        for name in whole:
            assert_array_equal(alone[name][0], whole[name][k])


def test_a_passband_without_points_has_no_numbers_of_its_own(rows):
    nothing = tuple(column[:0] for column in rows[0][0])
    found = table(curves_of([[rows[0][0], nothing]]))
    missing = {name for name, values in found.items() if np.isnan(values[0])}
    assert missing == {"mean_r", "color_b_r", "log_scatter_r", "log_amplitude_r", "skew_r"}


def test_the_profile_has_the_highest_power_of_each_range_of_periods(rows):
    found = find_periods(curves_of(rows), SETTINGS)
    assert found.profile.shape == (3, len(PROFILE_D) - 1)
    assert_array_equal(found.profile.max(axis=1), found.power)
    place = np.searchsorted(PROFILE_D, found.period_d) - 1
    assert_array_equal(found.profile[np.arange(3), place], found.power)
