"""Light curves on nodes: what gaps, scale and time do to them, and which cannot be scored."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.models.flares.curves import CHANNELS, HALF, MOST_MISSING, WINDOW, Prepared, prepare
from tests.flare_tables import flaring


def prepared(mjd, flux, **settings):
    return prepare(mjd, flux, length=len(mjd), place=np.arange(len(mjd)), cadence_s=(110.0, 130.0), **settings)


def test_a_constant_added_to_all_times_changes_nothing():
    mjd, flux, _ = flaring()
    here, there = prepared(mjd, flux), prepared(mjd - 57_000.0, flux)
    assert_array_equal(here.channels, there.channels)
    assert_array_equal(here.node, there.node)
    assert here.noise == there.noise


@pytest.mark.parametrize("factor", [0.25, 3.7, 1e6])
def test_a_constant_times_all_fluxes_changes_nothing(factor):
    mjd, flux, _ = flaring()
    here, there = prepared(mjd, flux), prepared(mjd, factor * flux)
    assert_allclose(here.channels, there.channels, atol=1e-5)
    assert here.noise == pytest.approx(there.noise, rel=1e-9)
    assert_allclose(here.kind, there.kind, atol=1e-4)


def test_few_missing_cadences_are_filled_and_more_are_a_gap():
    mjd, flux, _ = flaring(1000)
    for missing, stretches in ((MOST_MISSING, 1), (MOST_MISSING + 1, 2)):
        kept = np.ones(1000, dtype=bool)
        kept[500 : 500 + missing] = False
        one = prepared(mjd[kept], flux[kept])
        assert len(one.offsets) - 1 == stretches
        assert one.seen.sum() == kept.sum()
    assert (np.diff(one.node) == 1).all()


def test_what_lies_within_a_hundred_cadences_of_a_gap_or_an_end_is_not_judged():
    mjd, flux, _ = flaring(1200)
    kept = np.ones(1200, dtype=bool)
    kept[600:650] = False
    one = prepared(mjd[kept], flux[kept])
    judged = np.zeros(1200, dtype=bool)
    judged[kept] = one.judged[one.node]
    expected = np.zeros(1200, dtype=bool)
    for first, last in ((0, 600), (650, 1200)):
        expected[first + HALF : last - HALF + 1] = True
    assert_array_equal(judged, expected)


def test_a_stretch_too_short_for_a_window_has_no_nodes():
    mjd, flux, _ = flaring(1000)
    kept = np.ones(1000, dtype=bool)
    kept[WINDOW - 1 : WINDOW + 40] = False
    one = prepared(mjd[kept], flux[kept])
    assert (one.node[: WINDOW - 1] == -1).all()
    assert one.offsets.tolist() == [0, 1000 - WINDOW - 40]


def test_slow_light_is_taken_off_and_a_flare_is_left():
    mjd, flux, _ = flaring(1500, noise=1e-3, amplitude=0.1)
    swing = 1.0 + 0.05 * np.sin(2.0 * np.pi * (mjd - mjd[0]) / 0.7)
    one = prepared(mjd, flux * swing)
    stands = np.sinh(one.channels[0].astype(np.float64))
    assert one.channels.shape == (CHANNELS, 1500)
    assert abs(int(stands.argmax()) - 750) <= 2
    assert stands.max() > 50.0
    assert np.abs(np.delete(stands, slice(700, 820))).max() < 8.0


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda mjd, flux: (mjd[:30], flux[:30]), "LC_SHORT"),
        (lambda mjd, flux: (mjd[:199], flux[:199]), "LC_SHORT"),
        (lambda mjd, flux: (mjd[0] + 15.0 * (mjd - mjd[0]), flux), "LC_CADENCE"),
        (lambda mjd, flux: (np.full_like(mjd, mjd[0]), flux), "LC_CADENCE"),
        (lambda mjd, flux: (mjd, -flux), "LC_NOT_POSITIVE"),
        (lambda mjd, flux: (mjd, np.ones_like(flux)), "LC_CONSTANT"),
    ],
)
def test_a_light_curve_that_cannot_be_scored_says_why(spoil, why):
    mjd, flux, _ = flaring(1000)
    assert prepared(*spoil(mjd, flux)) == why


def test_a_time_far_off_costs_no_memory():
    mjd, flux, _ = flaring(600)
    one = prepared(np.append(mjd, 1e9), np.append(flux, flux[0]))
    assert isinstance(one, Prepared)
    assert len(one.mjd) == 600
