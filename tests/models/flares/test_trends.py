"""Slow light: what the running polynomial follows, what it leaves, and what does not change it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.models.flares.trends import polynomial_trend, running_trend

NODES = np.arange(2400)
WHOLE = np.array([0, 2400])
RNG = np.random.default_rng(3)
WHITE = RNG.normal(size=2400)


def polynomial(flux, offsets=WHOLE, **settings):
    start = running_trend(flux, offsets, 41)
    return polynomial_trend(flux, offsets, 151, **{"start": start, "noise": 1.0, **settings})


def test_a_polynomial_of_degree_five_is_its_own_trend():
    x = NODES / 2400.0 - 0.5
    flux = 10.0 * (1.0 + x - 3.0 * x**2 + 2.0 * x**5)
    assert_allclose(polynomial(flux), flux, atol=1e-6)


def test_a_quick_star_is_followed_where_medians_lag():
    waves = 200.0 * np.sin(2.0 * np.pi * NODES / 216.0) + 100.0 * np.sin(2.0 * np.pi * NODES / 108.0)
    inside = slice(150, -150)
    left = np.abs(waves + WHITE - polynomial(waves + WHITE) - WHITE)[inside]
    of_median = np.abs(waves + WHITE - running_trend(waves + WHITE, WHOLE, 151) - WHITE)[inside]
    assert left.max() < 0.1 * of_median.max()


@pytest.mark.parametrize("height", [10.0, 100.0, 1000.0])
def test_a_flare_of_an_hour_keeps_its_peak_and_more_of_its_decay_than_a_median_leaves(height):
    flare = height * np.exp(-(NODES - 1200.0) / 15.0) * (NODES >= 1200)
    left = WHITE + flare - polynomial(WHITE + flare)
    by_median = WHITE + flare - running_trend(WHITE + flare, WHOLE, 41)
    assert left[1200:1203].mean() > 0.8 * flare[1200:1203].mean()
    assert left[flare > 5.0].sum() > 1.1 * by_median[flare > 5.0].sum()


def test_scale_and_level_of_the_flux_change_nothing():
    flux = WHITE + 30.0 * np.sin(NODES / 40.0)
    here = polynomial(flux)
    assert_allclose(polynomial(7.0 * flux + 1000.0, noise=7.0), 7.0 * here + 1000.0, atol=1e-8)


def test_a_stretch_does_not_see_another_one():
    flux = WHITE + 30.0 * np.sin(NODES / 40.0)
    both = polynomial(flux, np.array([0, 900, 2400]))
    assert_array_equal(both[:900], polynomial(flux[:900], np.array([0, 900])))
    assert_array_equal(both[900:], polynomial(flux[900:], np.array([0, 1500])))


def test_the_shortest_stretch_has_a_trend():
    assert np.isfinite(polynomial(WHITE[:200], np.array([0, 200]))).all()
