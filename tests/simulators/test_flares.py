"""Simulated flaring stars: one star is one star, and the truth that comes with it is in its light curve."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skyloom.errors import SpecError
from skyloom.simulators.flares import CADENCE_D, flare_stars


@pytest.fixture(scope="module")
def stars():
    return flare_stars(4, seed=5, days=6.0)


def test_a_star_is_the_same_whatever_else_is_drawn(stars):
    alone = flare_stars(1, seed=5, first=2, days=6.0)
    points = slice(*stars.curves.offsets[2:4])
    assert_array_equal(stars.curves.flux[points], alone.curves.flux)
    assert_array_equal(stars.curves.mjd[points], alone.curves.mjd)
    assert_array_equal(stars.flaring[points], alone.flaring)
    assert alone.star.tolist() == [2]


def test_another_seed_gives_other_stars(stars):
    assert flare_stars(1, seed=6, days=6.0).curves.mjd[0] != stars.curves.mjd[0]


def test_times_are_those_of_tess_with_a_gap_in_the_middle(stars):
    steps = np.diff(stars.curves.mjd[slice(*stars.curves.offsets[:2])])
    assert np.median(steps) == pytest.approx(CADENCE_D, rel=1e-6)
    assert (steps > 0).all()
    assert 1.0 <= steps.max() <= 2.1


def test_the_light_of_flares_is_that_of_the_listed_ones(stars):
    for k in range(4):
        points, events = slice(*stars.curves.offsets[k : k + 2]), slice(*stars.truth.offsets[k : k + 2])
        seen = stars.truth.sigmas[events] > 0.0
        light = float(stars.flaring[points].sum()) * 120.0
        # Of what is listed, gaps and the sector's ends hide a part; nothing that is not listed shines.
        assert light <= stars.truth.duration_s[events][seen].sum() * 1.02
    assert (stars.truth.third_sigmas <= stars.truth.sigmas).all()
    assert (stars.flaring >= 0.0).all()


def test_more_light_in_the_brightest_cadence_goes_with_a_brighter_flare(stars):
    k = int(np.argmax(stars.truth.sigmas))
    star = int(np.searchsorted(stars.truth.offsets, k, side="right")) - 1
    points = slice(*stars.curves.offsets[star : star + 2])
    near = np.abs(stars.curves.mjd[points] - stars.truth.peak_mjd[k]) < 3.0 * CADENCE_D
    highest = stars.flaring[points][near].max() / stars.noise[star]
    assert highest >= 0.5 * stars.truth.sigmas[k]


def test_no_stars_are_none():
    none = flare_stars(0)
    assert len(none.curves) == len(none.star) == len(none.truth.peak_mjd) == 0


@pytest.mark.parametrize("settings", [{"n": -1}, {"n": 1, "first": -1}, {"n": 1, "days": 1.0}])
def test_nonsense_is_refused(settings):
    with pytest.raises(SpecError):
        flare_stars(**settings)
